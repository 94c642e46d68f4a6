"""The main process's ``process_*`` metrics for readers that push; the port has prometheus_client's own collector.

Names and meaning are that collector's, so that a query finds the same series either way
(https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    NumberDataPoint,
    ScopeMetrics,
    Sum,
)

from otel_celery.forks import gate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from prometheus_client import ProcessCollector
    from prometheus_client.metrics_core import Metric as Family


class ProcessFigures:
    """Converts the collector's families to OpenTelemetry's metrics; implements ``producers.Producer``."""

    def __init__(self, scope: InstrumentationScope, started_at: int, *, has_deltas: bool) -> None:
        """Read this process, for one reader; ``started_at`` is in nanoseconds since the epoch.

        With ``has_deltas`` counters have delta temporality.
        """
        self._scope = scope
        self._since = started_at
        self._has_deltas = has_deltas
        self._before: dict[str, float] = {}

    @functools.cached_property
    def _collector(self) -> ProcessCollector:
        """Import the collector at the first collection, behind the fork gate: pool children never need it."""
        with gate().importing():
            from prometheus_client import ProcessCollector  # noqa: PLC0415

        return ProcessCollector(registry=None)

    def produce(self, now: int) -> Iterator[ScopeMetrics]:
        """Yield the metrics; there are none without ``/proc``."""
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
