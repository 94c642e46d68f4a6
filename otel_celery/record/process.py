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

    def __init__(self, scope: InstrumentationScope, started_at: int, *, has_deltas: bool) -> None:
        """Look at this process, for one reader; ``started_at`` in nanoseconds since the epoch.

        With ``has_deltas`` counters tell what was added since they were last asked for.
        """
        self._scope = scope
        self._since = started_at
        self._has_deltas = has_deltas
        self._before: dict[str, float] = {}
        self._collector = ProcessCollector(registry=None)

    def produce(self, now: int) -> Iterator[ScopeMetrics]:
        """Make them; where there is no ``/proc`` there are none."""
        found = [self._made(family, now) for family in self._collector.collect()]
        if found:
            yield ScopeMetrics(self._scope, found, self._scope.schema_url or "")
        if self._has_deltas:
            self._since = now

    def _made(self, family: Family, now: int) -> Metric:
        (sample,) = family.samples
        value = sample.value
        data: Sum | Gauge
        if family.type == "counter":
            temporality = AggregationTemporality.CUMULATIVE
            if self._has_deltas:
                temporality = AggregationTemporality.DELTA
                value -= self._before.get(family.name, 0.0)
                self._before[family.name] = sample.value
            data = Sum([NumberDataPoint({}, self._since, now, value)], temporality, is_monotonic=True)
        else:
            data = Gauge([NumberDataPoint({}, self._since, now, value)])
        return Metric(family.name, family.documentation, "", data)
