"""The two recorders of histograms: they count alike, and their expositions are the same, byte for byte."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections import deque
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from otel_celery import catalogue
from otel_celery.catalogue import SCOPE
from otel_celery.record.histograms import MANY, SdkHistograms, Tally, TallyHistograms
from otel_celery.record.producers import Producers
from otel_celery.record.pull import PullReader
from otel_celery.record.source import SourceReader
from tests.integration.worker.harness import ROOT
from tests.unit.record.fakes import only_foreign, scrape

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Meter

    from otel_celery.record.histograms import Histograms, Recorder

METRICS = (catalogue.DURATION, catalogue.RUNTIME, catalogue.PREFETCH_WAIT)
SERIES = tuple(
    {"worker": "w@h", "task_name": name, "queue": queue} for name in ("a", 'b"\n\\\U0001f600') for queue in ("q", "p")
)
VALUES = (
    *(0, 0.0, 1, 2, 0.1, 0.2, 0.30000000000000004, 1e-9, 1e9, 1e300, 5e-324, 1800.0000001, 1799.9999999),
    *catalogue.BUCKETS,
)


def played(histograms: Histograms, registry: CollectorRegistry, encode: Callable[[CollectorRegistry], bytes]) -> str:
    """Play the same observations through a recorder, with scrapes on the way, and read the last exposition."""
    scrape(registry, encode)  # the SDK lists its metrics by their first use: now the gauge comes first on both sides
    shares = len(METRICS) * len(SERIES)
    for number, (metric, attributes) in enumerate((m, s) for m in METRICS for s in SERIES):
        series = histograms.series(metric, attributes)
        for value in VALUES[: len(VALUES) * (number + 1) // shares]:
            series.record(value)
        scrape(registry, encode)
    return scrape(registry, encode)


def show_a_gauge(meter: Meter) -> None:
    """Observe something always: without any metric of the SDK's own, the reader is not handed anything."""
    meter.create_observable_gauge("up", [lambda _: [Observation(1)]])


def tallied(bounds: tuple[float, ...], encode: Callable[[CollectorRegistry], bytes]) -> str:
    """Record as tallies, handed to our reader."""
    registry, histograms = CollectorRegistry(), TallyHistograms(bounds, InstrumentationScope(SCOPE), time.time_ns())
    reader = SourceReader()
    PullReader(reader, registry, Producers(of=[histograms]), only_foreign())
    provider = MeterProvider([reader], Resource({}), shutdown_on_exit=False)
    show_a_gauge(provider.get_meter(SCOPE))
    return played(histograms, registry, encode)


def sdk(bounds: tuple[float, ...], encode: Callable[[CollectorRegistry], bytes]) -> str:
    """Record with the SDK's instruments, read by its own reader."""
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    provider = MeterProvider([reader], Resource({}), shutdown_on_exit=False)
    show_a_gauge(provider.get_meter(SCOPE))
    return played(SdkHistograms(provider.get_meter(SCOPE), bounds), registry, encode)


@pytest.mark.parametrize("encode", [generate_latest, generate_openmetrics], ids=["text", "openmetrics"])
@pytest.mark.parametrize("bounds", [catalogue.BUCKETS, (0.1, 1.0, 1e9), (1.0,)], ids=["default", "own", "one"])
def test_both_recorders_say_the_same(bounds: tuple[float, ...], encode: Callable[[CollectorRegistry], bytes]) -> None:
    """The same observations make the same exposition, byte for byte."""
    ours, theirs = tallied(bounds, encode), sdk(bounds, encode)
    assert ours == theirs
    assert ours.count("_count{") == len(METRICS) * len(SERIES)


def test_a_value_on_a_bound_is_below_it() -> None:
    """Upper bounds are inclusive, and the last bucket has none."""
    tally = TallyHistograms((0.1, 1.0), InstrumentationScope(SCOPE), 0).series(catalogue.DURATION, {})
    for value in (0, 0.1, 0.100001, 1.0, 1.000001, 1e300):
        tally.record(value)
    assert tally.read() == ([2, 2, 2], 1e300)


def test_many_at_a_time_are_counted_as_one_by_one() -> None:
    """Each value is in its own bucket, and the total is what adding them in turn makes; few wait to be counted."""
    bounds, drawn = (0.1, 0.25, 1.0, 5.0), random.Random(7)
    values = [drawn.choice([drawn.expovariate(1.0), *bounds, 0.0]) for _ in range(10 * MANY + 7)]
    tally, counts, total = Tally(bounds, {}), [0] * 5, 0.0
    for number, value in enumerate(values, start=1):
        tally.record(value)
        assert len(tally._noted) < MANY
        counts[bisect_left(bounds, value)] += 1
        total += value
        if not number % 250:
            assert tally.read()[0] == counts
            assert tally.read()[1] == pytest.approx(total)
    assert tally.count() == len(values) == sum(tally.read()[0])
    assert tally.read()[1] == pytest.approx(total)


def test_a_signal_handler_may_record_while_the_same_thread_counts() -> None:
    """What it records is counted with the next; neither waits for the other."""

    class Interrupting(float):
        """A value that is compared while values are counted, when a signal arrives that ends many tasks."""

        def __gt__(self, other: float) -> bool:
            for _ in range(MANY):
                tally.record(2.0)
            return float(self) > other

    tally = Tally((1.0,), {})
    tally.note(Interrupting(0.5))
    assert tally.count() == 1
    assert tally.read() == ([1, MANY], 0.5 + 2.0 * MANY)


def test_a_series_without_observations_is_not_collected() -> None:
    """Histograms begin with their first observation; a metric without any is left out."""
    histograms = TallyHistograms((1.0,), InstrumentationScope(SCOPE), 7)
    histograms.series(catalogue.DURATION, {"queue": "silent"})
    assert list(histograms.produce(9)) == []
    histograms.series(catalogue.DURATION, {"queue": "loud"}).record(0.5)
    (scoped,) = histograms.produce(9)
    (metric,) = scoped.metrics
    assert scoped.scope.name == SCOPE
    (point,) = metric.data.data_points
    assert (metric.name, metric.unit, metric.description) == (
        catalogue.DURATION.name,
        "s",
        catalogue.DURATION.description,
    )
    assert (point.attributes, point.start_time_unix_nano, point.time_unix_nano) == ({"queue": "loud"}, 7, 9)


def test_what_was_collected_does_not_change_afterwards() -> None:
    """A data point is a copy: later observations are for the next scrape."""
    histograms = TallyHistograms((1.0,), InstrumentationScope(SCOPE), 0)
    series = histograms.series(catalogue.DURATION, {})
    series.record(0.5)
    ((metric,),) = (scoped.metrics for scoped in histograms.produce(1))
    series.record(0.5)
    (point,) = metric.data.data_points
    assert (point.count, point.bucket_counts) == (1, [1, 0])  # type: ignore[union-attr]


def test_the_sdk_has_one_instrument_a_metric() -> None:
    """Series of one metric share its instrument, so that the SDK warns of no duplicates."""
    histograms = SdkHistograms(MeterProvider(shutdown_on_exit=False).get_meter(SCOPE), (1.0,))
    for metric in METRICS:
        for attributes in SERIES:
            histograms.series(metric, attributes)
    assert len(histograms._instruments) == len(METRICS)


def test_a_signal_handler_may_record_on_top_of_a_record() -> None:
    """What a cold shutdown observes inside the SDK's own record is put aside, and counted afterwards."""
    memory = InMemoryMetricReader()
    histograms = SdkHistograms(MeterProvider([memory], shutdown_on_exit=False).get_meter(SCOPE), (1.0,))
    series = histograms.series(catalogue.DURATION, {})
    handled: list[int] = []

    class Interrupting(float):
        """A value during whose recording, under the SDK's locks, a signal arrives."""

        def __gt__(self, other: float) -> bool:
            if not handled:
                handled.append(1)
                series.record(0.25)
            return float(self) > other

    series.record(Interrupting(0.5))
    data = memory.get_metrics_data()
    assert data is not None
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert (handled, point.count) == ([1], 2)  # type: ignore[union-attr]


class Slow(float):
    """A value whose recording lets other threads in, and may do something in between."""

    during: Callable[[], None] | None = None

    def __gt__(self, other: float) -> bool:
        """Compare as the SDK does to find the bucket."""
        during, self.during = self.during, None
        if during is not None:
            during()
        return float(self) > other


def put_aside(histograms: SdkHistograms, series: Recorder, number: int) -> None:
    """Have observations put aside, as from a signal handler that arrives while this thread records."""
    histograms._recording.add(threading.get_ident())
    for _ in range(number):
        series.record(0.25)
    histograms._recording.clear()


def test_a_signal_handler_may_record_while_what_was_put_aside_is_settled() -> None:
    """The flush at a worker's end records under the SDK's locks, too: what arrives there is put aside again."""
    memory = InMemoryMetricReader()
    histograms = SdkHistograms(MeterProvider([memory], shutdown_on_exit=False).get_meter(SCOPE), (1.0,))
    series = histograms.series(catalogue.DURATION, {})
    value = Slow(0.5)
    value.during = lambda: series.record(0.25)
    histograms._recording.add(threading.get_ident())
    series.record(value)
    histograms._recording.clear()
    settling = Thread(target=histograms.settle, daemon=True)
    settling.start()
    settling.join(30)
    assert not settling.is_alive(), "it waits for a lock that it holds itself"
    data = memory.get_metrics_data()
    assert data is not None
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert point.count == 2  # type: ignore[union-attr]


def test_many_threads_may_settle_at_once() -> None:
    """Whoever finds nothing left is done, though there was something a moment ago; and nothing counts twice."""

    class Raced(deque[Any]):
        """Observations of which the last is always taken by another thread just before."""

        def popleft(self) -> Any:
            """Take one; the other thread takes what is the last."""
            if len(self) == 1:
                self.clear()
            return super().popleft()

    memory = InMemoryMetricReader()
    histograms = SdkHistograms(MeterProvider([memory], shutdown_on_exit=False).get_meter(SCOPE), (1.0,))
    series = histograms.series(catalogue.DURATION, {})
    histograms._aside = Raced()
    put_aside(histograms, series, 3)
    histograms.settle()
    put_aside(histograms, series, 1)
    series.record(0.5)
    data = memory.get_metrics_data()
    assert data is not None
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert point.count == 3  # type: ignore[union-attr]


PATCHED = """
import sys
if sys.argv[1] == "gevent":
    from gevent import monkey; monkey.patch_all()
else:
    import eventlet; eventlet.monkey_patch()
from otel_celery import native
from otel_celery.record.histograms import MANY, Tally

class Slow(float):
    def __radd__(self, other):  # while a scrape's thread counts, the worker's greenlet comes
        begun.set()
        native.original("time", "sleep")(0.3)
        return other + 1.0

begun, over = native.Flag(), native.Flag()
tally = Tally([1.0], {})
tally.note(Slow(0.5))
native.start("a-scrape", lambda: (tally.read(), over.set()))
assert begun.wait(20)
tally.note(0.5)
assert tally.count() == 2
assert over.wait(20)
assert tally.read() == ([2, 0], 1.5)
"""


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_a_scrapes_thread_and_a_greenlet_count_one_after_the_other(library: str) -> None:
    """A lock made by gevent or eventlet would be waited for in the hub of the thread that waits, and never be had."""
    pytest.importorskip(library)
    command = [sys.executable, "-W", "ignore", "-c", PATCHED, library]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
