"""The reader on the port: at each scrape it shows what another reader, and our producers, have.

That other one is on the provider from the start. This one, OpenTelemetry's for Prometheus, brings prometheus_client
with it, and is made when the port is opened: after the pool has forked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import ExponentialHistogram
from prometheus_client import CollectorRegistry

from otel_celery.record.families import RememberingCollector
from otel_celery.record.producers import metrics_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricsData

    from otel_celery.record.foreign import ForeignMetrics
    from otel_celery.record.histograms import TallyHistograms
    from otel_celery.record.producers import Producers
    from otel_celery.record.source import SourceReader


class PullReader(PrometheusMetricReader):
    """Shows collections, with the producers' metrics added, through a collector in a registry.

    The text format cannot show exponential histograms, and the exporter fails the whole scrape at the first one. An
    application's view may ask for them, and it overrides a reader's preference. Then our own metrics are shown from
    ``stand_in``, with explicit buckets, and others are left out.
    """

    def __init__(
        self,
        source: SourceReader,
        registry: CollectorRegistry,
        producers: Producers,
        foreign: ForeignMetrics,
        stand_in: TallyHistograms | None = None,
    ) -> None:
        """Show in ``registry`` what ``source`` and ``producers`` have; more may be added to these later."""
        # The exporter's own collector goes into a registry that nobody scrapes.
        super().__init__(registry=CollectorRegistry(), scope_info_enabled=False)
        self._source = source
        self._producers = producers
        self._foreign = foreign
        self._stand_in = stand_in
        self._remembering = RememberingCollector(self._fetch)
        self._shown_in = registry
        registry.register(self._remembering)

    def _fetch(self) -> None:
        """Collect, and have the collection shown."""
        metrics_data = self._producers.collect(self._source)
        if metrics_data is not None:
            self._show(metrics_data)

    def _show(self, metrics_data: MetricsData) -> None:
        for resource_metrics in metrics_data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                metrics = metrics_of(scope_metrics)
                if any(isinstance(metric.data, ExponentialHistogram) for metric in metrics):
                    metrics[:] = [
                        shown
                        for metric in metrics
                        if (shown := self._shown(metric, scope_metrics.scope.name)) is not None
                    ]
        self._remembering.add(self._foreign.flatten(metrics_data))

    def shutdown(self, *_: object, **__: object) -> None:
        """Take the collector out of the registry."""
        self._shown_in.unregister(self._remembering)

    def _shown(self, metric: Metric, scope: str) -> Metric | None:
        if not isinstance(metric.data, ExponentialHistogram):
            return metric
        stand_in = self._stand_in.find(metric.name) if self._stand_in is not None else None
        if stand_in is None:
            self._foreign.leave_out(metric, scope)
        return stand_in
