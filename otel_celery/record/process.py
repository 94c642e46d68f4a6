"""The main process's own figures, ``process_*``, for readers that push; the port has prometheus_client's collector.

Names and meaning are that collector's, so that a query finds the same series whichever way they came
(https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).
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
from prometheus_client import ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from prometheus_client.metrics_core import Metric as Family


class ProcessFigures:
    """Makes OpenTelemetry's metrics of the collector's families; implements ``producers.Producer``."""

    def __init__(self, scope: InstrumentationScope, started_at: int) -> None:
        """Look at this process; ``started_at`` in nanoseconds since the epoch."""
        self._scope = scope
        self._started_at = started_at
        self._collector = ProcessCollector(registry=None)

    def produce(self, now: int) -> Iterator[ScopeMetrics]:
        """Make them; where there is no ``/proc`` there are none."""
        found = [self._made(family, now) for family in self._collector.collect()]
        if found:
            yield ScopeMetrics(self._scope, found, self._scope.schema_url or "")

    def _made(self, family: Family, now: int) -> Metric:
        points = [NumberDataPoint(sample.labels, self._started_at, now, sample.value) for sample in family.samples]
        if family.type == "counter":
            return Metric(
                family.name, family.documentation, "", Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
            )
        return Metric(family.name, family.documentation, "", Gauge(points))
