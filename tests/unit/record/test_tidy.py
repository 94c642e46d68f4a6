"""Whatever is recorded, the real exporters' encoders take the collection, and all that can be sent is in it."""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_celery.catalogue import SCOPE
from otel_celery.lifecycle import Loss
from otel_celery.record.foreign import ForeignMetrics
from otel_celery.record.refusals import Refusals
from otel_celery.version import __version__
from tests.otlp import Request
from tests.unit.record.calls import SCALARS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.metrics.export import MetricsData

DELTA: dict[type, AggregationTemporality] = dict.fromkeys(
    (Counter, Histogram, ObservableCounter), AggregationTemporality.DELTA
)


class Bench:
    """A provider whose collections are tidied, and encoded as OTLP and as the console writes them."""

    def __init__(
        self, resource: Mapping[str, Any] | None = None, *, is_delta: bool = False, is_exponential: bool = False
    ) -> None:
        """Collect totals or changes, and histograms with buckets of either kind."""
        aggregation: dict[type, Any] = {Histogram: ExponentialBucketHistogramAggregation()} if is_exponential else {}
        self.reader = InMemoryMetricReader(DELTA if is_delta else None, aggregation)
        self.provider = MeterProvider(
            [self.reader],
            Resource(dict(resource or {})),
            shutdown_on_exit=False,
            exemplar_filter=AlwaysOnExemplarFilter(),
        )
        self.lost: list[tuple[Loss, int]] = []
        refused = Refusals(lambda reason, number: self.lost.append((reason, number)))
        self.foreign = ForeignMetrics(InstrumentationScope(SCOPE, __version__), 200, refused)

    def record(self, kind: str, name: str, number: Any, labels: Any, meter: str = "m") -> None:
        """Record with a synchronous instrument; what the SDK refuses is the task's to hear."""
        instrument = getattr(self.provider.get_meter(meter), f"create_{kind}")(name)
        record = getattr(instrument, "add", None) or getattr(instrument, "set", None) or instrument.record
        with contextlib.suppress(TypeError, ValueError, ArithmeticError):
            record(number, labels)

    def pushed(self) -> dict[tuple[str, str], list[Any]]:
        """Encode what is collected; give each metric's points, as a receiver would see them, by scope and name."""
        data = self.collected()
        data.to_json().encode()
        message = type(encode_metrics(data)).FromString(encode_metrics(data).SerializeToString())
        found: dict[tuple[str, str], list[Any]] = {}
        for point in Request("", {}, message, 0).points():
            found.setdefault((point.scope, point.name), []).append(point)
        return found

    def collected(self) -> MetricsData:
        """Collect, and tidy."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return self.foreign.tidy(data)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture):
    """See that no encoder has said that it left something out."""
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("kind", ["counter", "up_down_counter", "histogram"])
def test_f83_two_series_that_are_too_wide_once_they_are_one(kind: str) -> None:
    """Each is of 64 bits, and their sum is not: it is sent as a float, as one that was recorded so."""
    bench = Bench()
    for last in "ab":
        bench.record(kind, "wide", 2**62, {"a": "x" * 300 + last})
    ((point,),) = bench.pushed().values()
    assert (point.data.sum if kind == "histogram" else point.value) == 2**63
    assert bench.lost == []


@pytest.mark.parametrize("is_delta", [False, True], ids=["cumulative", "delta"])
@pytest.mark.parametrize(
    "label",
    [
        "\udce9",
        b"\xff",
        [None, "\udce9", b"x"],
        2**63,
        10**5000,
        {"a": {"b": [1]}},
        None,
        np.float64(1),
        [[1]],
        [10**30],
    ],
    ids=itertools.count(),
)
def test_f83_odd_labels(label: Any, is_delta: bool) -> None:  # noqa: FBT001
    """Each stays a label of its series, and the series is pushed."""
    bench = Bench(is_delta=is_delta)
    for kind in ("counter", "gauge", "histogram", "up_down_counter"):
        bench.record(kind, kind, 2, {"odd": label, "even": "x"})
    pushed = bench.pushed()
    for kind in ("counter", "gauge", "histogram", "up_down_counter"):
        (point,) = pushed["m", kind]
        assert set(point.attributes) == {"odd", "even"}
    assert bench.lost == []


@pytest.mark.parametrize("is_delta", [False, True], ids=["cumulative", "delta"])
def test_f83_a_sum_beyond_64_bits(is_delta, caplog) -> None:
    """It is sent as a float, and said once; one that no float holds is left out, counted and named."""
    bench = Bench(is_delta=is_delta)
    for _ in range(2):
        for _ in range(3):
            bench.record("counter", "wide", 2**62, {})
            bench.record("counter", "endless", 10**308, {})
            bench.record("histogram", "weight", 10**308, {})
        bench.record("counter", "plain", 1, {})
        pushed = bench.pushed()
        assert {name for _, name in pushed} == {"wide", "plain"}
        assert pushed["m", "wide"][0].value >= 3 * 2**62
    assert bench.lost == [(Loss.VALUE, 1)] * 2
    said = [record.getMessage() for record in caplog.records if record.name == "otel_celery"]
    assert [sum(f"the metric {name!r} of" in line for line in said) for name in ("wide", "endless", "weight")] == [
        1
    ] * 3


def test_scopes_names_and_the_resource_are_cleaned() -> None:
    """Scopes that are one then are put together, since the encoder keeps the last of equal ones."""
    bench = Bench({"service.name": "\udcff", "n": 10**30, "list": ["\udcff"]})
    for scope in ("m\udcfe", "m\udcff"):
        meter = bench.provider.get_meter(scope, "1\udcff", "s\udcff", {"a\udcff": "\udcff", "n": 10**30})
        meter.create_counter("orders" + str(ord(scope[-1])), description="\udcff").add(1)
    pushed = bench.pushed()
    assert set(pushed) == {("m?", "orders56574"), ("m?", "orders56575")}
    resource = pushed["m?", "orders56574"][0].resource
    assert resource == {"service.name": "?", "n": str(10**30), "list": ["?"]}


@pytest.mark.parametrize("is_delta", [False, True], ids=["cumulative", "delta"])
@pytest.mark.parametrize("is_exponential", [False, True], ids=["explicit", "exponential"])
def test_f67_series_that_are_one_once_cut(is_exponential: bool, is_delta: bool) -> None:  # noqa: FBT001
    """The least and the most of both, and every observation in its bucket, push after push."""
    bench = Bench(is_delta=is_delta, is_exponential=is_exponential)
    for turn in (1, 2):
        for end, value in (("a", 1), ("b", 50)):
            bench.record("histogram", "weight", value, {"a": "x" * 200 + end})
            bench.record("counter", "orders", value, {"a": "x" * 200 + end})
        pushed = bench.pushed()
        (weight,), (orders,) = pushed["m", "weight"], pushed["m", "orders"]
        times = 1 if is_delta else turn
        assert (weight.data.min, weight.data.max, weight.data.count, weight.data.sum) == (1, 50, 2 * times, 51 * times)
        counts = weight.data.positive.bucket_counts if is_exponential else weight.data.bucket_counts
        assert sum(counts) == 2 * times
        assert orders.value == 51 * times
        assert len(weight.data.exemplars) == 2


def test_what_an_observer_yields() -> None:
    """The values of a callback are no safer than those of a task."""
    bench = Bench()
    values = [Observation(2**64, {"a": b"\xff"}), Observation(10**308, {"a": 1}), Observation(1, {"a": "\udcff"})]
    bench.provider.get_meter("m").create_observable_gauge("heat", [lambda _: values])
    assert sorted(point.value for point in bench.pushed()["m", "heat"]) == [1, 2**64, 1e308]


VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.sampled_from([2**63, 10**308, np.float64(2), np.int64(3)])
)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["counter", "up_down_counter", "gauge", "histogram"]),
        st.sampled_from(["zz", "zz.total", "celery.tasks"]),
        NUMBERS,
        st.dictionaries(st.text(st.characters(), min_size=1), VALUES, max_size=3),
        st.sampled_from(["m", "n", "otel_celery", "m\udcff"]),
    ),
    max_size=8,
)


@given(CALLS, st.booleans(), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_calls_can_be_encoded(calls, is_delta, is_exponential) -> None:
    """And what is plain arrives."""
    bench = Bench(is_delta=is_delta, is_exponential=is_exponential)
    bench.record("counter", "plain", 2, {"a": "b"}, "plain")
    for call in calls:
        bench.record(*call)
    (plain,) = bench.pushed()["plain", "plain"]
    assert (plain.value, plain.attributes) == (2, {"a": "b"})
