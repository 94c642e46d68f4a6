"""The push reader's thread: when it exports, what it holds meanwhile, what it says, and how it ends."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_celery.record.producers import Producers
from otel_celery.record.pusher import Pusher, PushReader
from tests.integration.worker.harness import wait_until
from tests.otlp import grpc_receiver, http_receiver
from tests.unit.record.fakes import only_foreign, refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.sdk.metrics.export import MetricsData

exporters_logger = logging.getLogger(__name__)


class Exporter(MetricExporter):
    """Writes down what it is given, and does as it is told."""

    def __init__(self, gate: Gate) -> None:
        """Succeed."""
        super().__init__()
        self.gate = gate
        self.given: list[MetricsData] = []
        self.held: list[bool] = []
        self.result = MetricExportResult.SUCCESS
        self.error: Exception | None = None
        self.seconds = 0.0
        self.is_shut_down = threading.Event()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> MetricExportResult:
        """Take it, and log as real exporters do."""
        del timeout_millis
        self.held.append(self.gate.is_held)
        self.given.append(metrics_data)
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        if self.result is MetricExportResult.FAILURE:
            exporters_logger.warning("Transient error boom encountered while exporting, retrying in 0.91s.")
            exporters_logger.error("Failed to export")
        return self.result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Have nothing to flush."""
        raise NotImplementedError(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Write it down."""
        del timeout_millis
        self.is_shut_down.set()


class Gate:
    """Stands for the fork gate."""

    is_held = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be held."""
        assert not self.is_held
        self.is_held = True
        yield
        self.is_held = False


class Bench:
    """A provider with one counter, pushed by a thread to an exporter."""

    def __init__(self, interval: float = 600.0) -> None:
        """Begin to push."""
        self.gate = Gate()
        self.exporter = Exporter(self.gate)
        reader = PushReader(self.exporter, {}, Producers(), only_foreign())
        self.provider = MeterProvider([reader], shutdown_on_exit=False)
        self.held_while_collecting: list[bool] = []
        meter = self.provider.get_meter("m")
        meter.create_observable_gauge("g", [self.observe])
        meter.create_counter("c").add(1)
        self.pusher = Pusher("nowhere", reader, self.exporter, (interval, 30.0), self.gate.hold, refusals())
        self.pusher.start()

    def observe(self, _: CallbackOptions) -> list[Observation]:
        """Write down whether forks wait."""
        self.held_while_collecting.append(self.gate.is_held)
        return []

    def end(self, seconds: float = 10.0) -> None:
        """Push the last values, and wait."""
        self.pusher.stop()
        self.pusher.wait(time.monotonic() + seconds)


def test_it_pushes_at_the_interval_and_once_more_at_the_end() -> None:
    """Each export has the metrics of its moment, and the exporter is shut down after the last."""
    bench = Bench(0.02)
    wait_until(lambda: len(bench.exporter.given) >= 3, "it pushes")
    before = len(bench.exporter.given)
    bench.end()
    assert len(bench.exporter.given) > before
    assert bench.exporter.is_shut_down.is_set()
    after = len(bench.exporter.given)
    time.sleep(0.1)
    assert len(bench.exporter.given) == after


def test_nothing_is_pushed_before_the_first_interval_but_the_end() -> None:
    """A worker that lives for less than the interval pushes once."""
    bench = Bench()
    bench.end()
    assert len(bench.exporter.given) == 1


def test_forks_wait_for_the_collection_and_not_for_the_export() -> None:
    """The gate is held while callbacks run and the SDK's locks are taken; a collector may then take its time."""
    bench = Bench()
    bench.end()
    assert (bench.held_while_collecting, bench.exporter.held) == ([True], [False])


@pytest.mark.alone
def test_an_exporter_that_hangs_is_left_behind() -> None:
    """Whoever waits for the end waits no longer than it said."""
    bench = Bench()
    bench.exporter.seconds = 3.0
    began = time.monotonic()
    bench.end(0.3)
    assert 0.3 <= time.monotonic() - began < 2
    assert not bench.exporter.is_shut_down.is_set()
    assert bench.exporter.is_shut_down.wait(30), "it ends by itself"


def test_after_the_end_nothing_is_taken() -> None:
    """A thread that comes too late to its last push sends no half of it, and says nothing of a collector."""

    class Source:
        """A producer whose scope is always there."""

        def produce(self, _: int) -> list[ScopeMetrics]:
            """Give it."""
            return [ScopeMetrics(InstrumentationScope("m"), [], "")]

    reader = PushReader(Exporter(Gate()), {}, Producers(Resource.get_empty(), [Source()]), only_foreign())
    provider = MeterProvider([reader], shutdown_on_exit=False)
    assert reader.take() is not None
    provider.remove_metric_reader(reader)
    assert reader.take() is None


@pytest.mark.parametrize("how", ["result", "error"])
def test_a_failure_is_said_once_and_its_end_too(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """One warning with the reason and what to do, one line when it works again, nothing of the exporter's own."""
    caplog.set_level(logging.DEBUG)
    bench = Bench(0.02)
    if how == "result":
        bench.exporter.result = MetricExportResult.FAILURE
    else:
        bench.exporter.error = ValueError("boom")
    wait_until(lambda: caplog.records, "it is said")
    failed = len(bench.exporter.given)
    wait_until(lambda: len(bench.exporter.given) > failed + 5, "it is tried again and again")
    bench.exporter.result, bench.exporter.error = MetricExportResult.SUCCESS, None
    wait_until(lambda: len(caplog.records) > 1, "it is said")
    bench.end()
    warning, again = caplog.records
    reason = "Transient error boom encountered while exporting" if how == "result" else "ValueError('boom')"
    assert warning.getMessage().startswith(f"otel-celery: metrics cannot be pushed to nowhere: {reason}. Tasks are not")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in warning.getMessage()
    assert (warning.levelname, again.levelname) == ("WARNING", "INFO")
    assert again.getMessage() == "otel-celery: metrics are pushed to nowhere again"


def test_an_applications_exporter_may_still_speak(caplog: pytest.LogCaptureFixture) -> None:
    """The same logger is let through from every other thread, and from ours once it has ended."""
    bench = Bench(0.02)
    bench.exporter.result = MetricExportResult.FAILURE
    wait_until(lambda: caplog.records, "it fails")
    exporters_logger.error("the application's own")
    bench.end()
    exporters_logger.error("and later")
    assert [r.message for r in caplog.records if r.name == __name__] == ["the application's own", "and later"]
    assert exporters_logger.filters == []


IMPORTS = """
import sys
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_celery.record.exporters import load, make
from otel_celery.record import pusher as _
from otel_celery.settings.settings import read
memory = InMemoryMetricReader()
meter = MeterProvider([memory], shutdown_on_exit=False).get_meter("m")
meter.create_histogram("h").record(1)
data = memory.get_metrics_data()
push = read({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": "1500",
             "OTEL_EXPORTER_OTLP_PROTOCOL": sys.argv[1], "OTEL_EXPORTER_OTLP_ENDPOINT": sys.argv[2]}).push
(exporter,) = push.exporters
loaded = load(exporter)
before = set(sys.modules)
made = make(loaded, exporter, push)
result = made.export(data)
made.shutdown()
print(result.name, sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(("status", "result"), [(200, "SUCCESS"), (503, "FAILURE"), (0, "FAILURE")])
def test_an_export_imports_nothing(protocol: str, status: int, result: str) -> None:
    """All is imported beforehand: an import in this thread, while the main thread forks, would block the child."""
    with http_receiver() if protocol != "grpc" else grpc_receiver() as receiver:
        receiver.status = status
        url = receiver.url if status else "http://localhost:1"
        command = [sys.executable, "-c", IMPORTS, protocol, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{result} []\n"
