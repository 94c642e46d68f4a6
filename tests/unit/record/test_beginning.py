"""When publishers began to count: one moment for each meter, for as long as anybody counts with it."""

from __future__ import annotations

import time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from otel_celery import catalogue
from otel_celery.record import beginning


def moments(reader: InMemoryMetricReader) -> list[float]:
    """Collect what each point of the gauge says."""
    data = reader.get_metrics_data()
    scopes = [] if data is None else data.resource_metrics[0].scope_metrics
    metrics = [metric for scope in scopes for metric in scope.metrics]
    assert {metric.name for metric in metrics} <= {catalogue.START.name}
    points = [point for metric in metrics for point in metric.data.data_points]
    return [point.value for point in points if isinstance(point, NumberDataPoint)]


def test_all_that_count_with_a_meter_began_with_the_first() -> None:
    """Its counters go on: two apps share them, and one that is instrumented again; a provider of one's own is new."""
    readers = [InMemoryMetricReader() for _ in range(2)]
    shared, own = (MeterProvider([reader], shutdown_on_exit=False).get_meter("ours") for reader in readers)
    before = time.time()
    leaves = [beginning.show(shared)]
    (first,) = moments(readers[0])
    assert before <= first <= time.time()
    leaves += [beginning.show(shared), beginning.show(own)]
    assert moments(readers[0]) == [first]
    assert moments(readers[1]) > [first]
    for leave in leaves:
        leave()
    assert moments(readers[0]) == moments(readers[1]) == []
    beginning.show(shared)
    assert moments(readers[0]) == [first]
