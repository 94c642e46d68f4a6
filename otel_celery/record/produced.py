"""Readings handed to our readers as the SDK's own data points, past its instruments.

Through an observable instrument each value of each collection costs a Measurement, and its attributes are cleaned,
filtered and hashed to find an aggregation that has nothing to add up: half of what a scrape took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    NumberDataPoint,
    ScopeMetrics,
    Sum,
)

from otel_celery.catalogue import Kind
from otel_celery.record.showing import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otel_celery import catalogue
    from otel_celery.observers import Reading
    from otel_celery.record.errors import Errors
    from otel_celery.record.showing import Guarded


class ProducedReadings:
    """Makes cumulative points of readings; implements ``showing.Readings`` and ``producers.Producer``."""

    def __init__(self, scope: InstrumentationScope, started_at: int) -> None:
        """Show nothing yet; ``scope`` is our meter's, and ``started_at`` is in nanoseconds since the epoch."""
        self._scope = scope
        self._started_at = started_at
        self._shown: dict[catalogue.Metric, tuple[Guarded, ...]] = {}

    def show(
        self, readings: Mapping[catalogue.Metric, Reading], errors: Errors, is_closed: Callable[[], bool]
    ) -> Callable[[], None]:
        """Read these at each collection, besides others of the same metrics."""
        added = {metric: guarded(reading, errors, is_closed) for metric, reading in readings.items()}
        for metric, read in added.items():
            self._shown[metric] = (*self._shown.get(metric, ()), read)

        def leave() -> None:
            for metric, read in added.items():
                self._shown[metric] = tuple(known for known in self._shown[metric] if known is not read)

        return leave

    def produce(self, now: int) -> Iterator[ScopeMetrics]:
        """Yield the SDK's metrics of all readings that have a value; ``now`` is in nanoseconds since the epoch."""
        found = [made for metric in list(self._shown) if (made := self._made(metric, now)) is not None]
        if found:
            yield ScopeMetrics(self._scope, found, self._scope.schema_url or "")

    def _made(self, metric: catalogue.Metric, now: int) -> Metric | None:
        is_counter = metric.kind is Kind.COUNTER
        since = self._started_at if is_counter else None  # as the SDK has it
        points = [
            NumberDataPoint(attributes, since, now, value, ())  # type: ignore[arg-type]
            for read in self._shown[metric]
            for value, attributes in read()
        ]
        if not points:
            return None
        cumulative = AggregationTemporality.CUMULATIVE
        data = Sum(points, cumulative, is_monotonic=True) if is_counter else Gauge(points)
        return Metric(metric.name, metric.description, metric.unit, data)
