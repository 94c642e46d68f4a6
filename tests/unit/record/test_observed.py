"""Readings as the SDK's instruments: one instrument for each name, whoever shows a reading by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_celery import catalogue
from otel_celery.record.errors import Errors
from otel_celery.record.observed import ObservedReadings

if TYPE_CHECKING:
    import pytest

    from otel_celery.observers import Reading


def queues(reader: InMemoryMetricReader) -> list[str]:
    """Collect the queues of all points."""
    data = reader.get_metrics_data()
    scopes = [] if data is None else data.resource_metrics[0].scope_metrics
    points = [point for scope in scopes for metric in scope.metrics for point in metric.data.data_points]
    return [str((point.attributes or {})["queue"]) for point in points]


def reading(queue: str) -> Reading:
    """Read one queue."""
    return lambda: [(1, {"queue": queue})]


def test_a_second_owner_joins_the_instrument_of_the_first(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK would ignore the callbacks of a second instrument of that name; each owner leaves alone."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    leaves = [
        ObservedReadings(provider.get_meter("ours")).show({catalogue.QUEUE_LENGTH: reading(queue)}, Errors(), bool)
        for queue in ("a", "b")
    ]
    assert queues(reader) == ["a", "b"]
    leaves[0]()
    assert queues(reader) == ["b"]
    leaves[1]()
    assert queues(reader) == []
    assert caplog.messages == []
