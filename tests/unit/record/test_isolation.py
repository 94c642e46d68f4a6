"""A push goes round what its exporter cannot encode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExporter, MetricExportResult

from otel_celery.lifecycle import Loss
from otel_celery.record.isolation import MAX_EXPORTS, Isolation
from otel_celery.record.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.metrics.export import MetricsData


class Picky(MetricExporter):
    """An exporter that cannot encode certain values, as others cannot encode what they do not know."""

    def __init__(self, *refuses: float) -> None:
        """Refuse these values."""
        super().__init__()
        self.refuses: set[float] = set(refuses)
        self.error: Exception = LookupError("no such number")
        self.result = MetricExportResult.SUCCESS
        self.taken: list[float] = []
        self.calls = 0

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> MetricExportResult:
        """Take all of it, or raise."""
        del timeout_millis
        self.calls += 1
        values = list(values_of(metrics_data))
        if self.refuses & set(values):
            raise self.error
        self.taken += values
        return self.result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Have nothing to flush."""
        raise NotImplementedError(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Have nothing to shut down."""


def values_of(data: MetricsData) -> Iterable[float]:
    """List all values, and see that no part is empty."""
    for resource in data.resource_metrics:
        assert resource.scope_metrics
        for scope in resource.scope_metrics:
            assert scope.metrics
            for metric in scope.metrics:
                points: Any = metric.data.data_points
                assert points
                yield from (point.value for point in points)


class Bench:
    """Three scopes of five gauges with four series each: the values 0 to 59."""

    def __init__(self, *refuses: float) -> None:
        """Refuse these values."""
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], shutdown_on_exit=False)
        for value in range(60):
            gauge = provider.get_meter(f"scope{value // 20}").create_gauge(f"gauge{value // 4}")
            gauge.set(value, {"series": str(value)})
        data = reader.get_metrics_data()
        assert data is not None
        self.data = data
        self.exporter = Picky(*refuses)
        self.lost: list[Loss] = []
        self.isolation = Isolation(self.exporter, Refusals(lambda reason, number: self.lost.extend([reason] * number)))

    def push(self) -> MetricExportResult:
        """Push once."""
        self.exporter.taken.clear()
        self.exporter.calls = 0
        return self.isolation.export(self.data, 30)


@pytest.mark.parametrize("refuses", [(), (0,), (59,), (17, 18), (3, 21, 40, 41, 42, 43)], ids=str)
def test_all_else_arrives_once(refuses: tuple[int, ...], caplog: pytest.LogCaptureFixture) -> None:
    """Each value but those that cannot be encoded, which are counted once a series and named once a metric."""
    bench = Bench(*refuses)
    for _ in range(3):
        assert bench.push() is MetricExportResult.SUCCESS
        assert sorted(bench.exporter.taken) == [value for value in range(60) if value not in refuses]
    assert bench.lost == [Loss.UNSUPPORTED] * len(refuses)
    named = {f"gauge{value // 4}" for value in refuses}
    assert len(caplog.records) == len(named)
    assert all(any(repr(name) in record.getMessage() for record in caplog.records) for name in named)


def test_what_is_known_costs_few_exports_and_comes_back() -> None:
    """A metric that failed is tried by itself: when it can be encoded again it is pushed with the rest."""
    bench = Bench(17)
    bench.push()
    assert bench.exporter.calls > 5
    bench.push()
    assert bench.exporter.calls == 1 + 5, "all else, and the halves of the one"
    bench.exporter.refuses.clear()
    bench.push()
    assert (bench.exporter.calls, len(bench.exporter.taken)) == (2, 60)
    bench.push()
    assert (bench.exporter.calls, len(bench.exporter.taken)) == (1, 60)


def test_an_exporter_that_takes_nothing_at_all_says_why() -> None:
    """It is no value's fault, and nothing is counted; the number of attempts is bounded."""
    bench = Bench(*range(60))
    with pytest.raises(LookupError, match="no such number"):
        bench.push()
    assert bench.lost == []
    assert bench.exporter.calls <= MAX_EXPORTS + 1


def test_the_network_is_no_value() -> None:
    """What is raised as an OSError is not looked for in the data."""
    bench = Bench(0)
    bench.exporter.error = ConnectionError("refused")
    with pytest.raises(ConnectionError):
        bench.push()
    assert bench.exporter.calls == 1


def test_a_part_that_does_not_arrive_is_a_failure() -> None:
    """As the whole would be."""
    bench = Bench(0)
    bench.exporter.result = MetricExportResult.FAILURE
    assert bench.push() is MetricExportResult.FAILURE
