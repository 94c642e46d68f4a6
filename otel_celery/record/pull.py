"""The reader behind the port: collects from the SDK and from our producers at each scrape."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import ExponentialHistogram, InMemoryMetricReader, MetricReader
from prometheus_client import CollectorRegistry

from otel_celery.record.families import RememberingCollector
from otel_celery.record.producers import add_produced, metrics_of
from otel_celery.saying import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import CardinalityLimits, Metric, MetricsData

    from otel_celery.record.foreign import ForeignMetrics
    from otel_celery.record.histograms import TallyHistograms
    from otel_celery.record.producers import Producer


class _Shown:
    """Shows collections, with the producers' metrics added, through a collector in a registry.

    The text format cannot show exponential histograms, and the exporter fails the whole scrape at the first one. An
    application's view may ask for them, and it overrides a reader's preference. Then our own metrics are shown from
    ``stand_in``, with explicit buckets, and others are left out.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        limits: CardinalityLimits,
        producers: Sequence[Producer],
        foreign: ForeignMetrics,
        stand_in: TallyHistograms | None = None,
    ) -> None:
        """Show in ``registry`` the metrics of the SDK and of ``producers``, to which more may be added later."""
        self._prepare(limits)
        self._producers = producers
        self._foreign = foreign
        self._stand_in = stand_in
        self._remembering = RememberingCollector(self._fetch)
        self._shown_in = registry
        registry.register(self._remembering)

    def _prepare(self, limits: CardinalityLimits) -> None:
        """Initialise the SDK's reader."""
        raise NotImplementedError

    def _fetch(self) -> None:
        """Collect, and have the collection shown."""
        raise NotImplementedError

    def _show(self, metrics_data: MetricsData) -> None:
        add_produced(metrics_data, self._producers)
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


class PullReader(_Shown, PrometheusMetricReader):
    """The exporter's Prometheus reader, with a collector of our own, which also reads our producers."""

    def _prepare(self, limits: CardinalityLimits) -> None:
        registry = CollectorRegistry()  # of the exporter's own collector, which nobody scrapes
        PrometheusMetricReader.__init__(self, registry=registry, scope_info_enabled=False, cardinality_limits=limits)

    def _fetch(self) -> None:
        self.collect()

    def _receive_metrics(self, metrics_data: MetricsData, *_: object, **__: object) -> None:
        self._show(metrics_data)


class PublicPullReader(_Shown, InMemoryMetricReader):
    """Shows the same by the SDK's public methods alone, for a release in which ``_receive_metrics`` has moved."""

    def _prepare(self, limits: CardinalityLimits) -> None:
        InMemoryMetricReader.__init__(self, cardinality_limits=limits)

    def _fetch(self) -> None:
        metrics_data = self.get_metrics_data()
        if metrics_data is not None:
            self._show(metrics_data)


def pull_reader() -> type[PullReader | PublicPullReader]:
    """Choose the exporter's reader; the other one, and say so, if the SDK no longer calls the method it overrides."""
    if "_receive_metrics" in MetricReader.__abstractmethods__:
        return PullReader
    say(logging.WARNING, "the OpenTelemetry SDK has moved a private name: the port is served by another of its readers")
    return PublicPullReader
