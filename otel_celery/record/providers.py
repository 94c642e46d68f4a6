"""What one worker records with: a provider, our views and reader on it, and the books behind them.

An application's own SDK MeterProvider (or that of ``opentelemetry-instrument``) is used where one is set, with our
reader added to it; else we make one of our own, and leave the global alone: ``set_meter_provider`` works once a
process, and that once is the application's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader, _AutoPrometheusMetricReader
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    Counter,
    ExemplarReservoir,
    Histogram,
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from prometheus_client import CollectorRegistry, ProcessCollector

from otel_celery import catalogue
from otel_celery.record import instruments
from otel_celery.record.families import RememberingCollector
from otel_celery.record.histograms import SdkHistograms, TallyHistograms
from otel_celery.record.labels import MAX_QUEUES
from otel_celery.record.tallies import PAIRS_PER_TASK_NAME, Tallies
from otel_celery.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import Exemplar
    from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricsData
    from opentelemetry.util.types import Attributes

    from otel_celery.lifecycle import WorkerLevels
    from otel_celery.record.histograms import Histograms
    from otel_celery.settings import Bounds, Settings

SCOPE = "otel_celery"

SHUTDOWN_MILLIS = 2_000

CONTRIB_RUNTIME = "flower.task.runtime.seconds"
"""What opentelemetry-instrumentation-celery records: the same times again, under labels that mean something else."""


class Recording:
    """The books of one worker, its provider, and the registry that the port serves."""

    def __init__(self, settings: Settings, worker: str, service: str) -> None:
        """Open the books of the worker with this node name; ``service`` names it where the environment does not."""
        self.registry = CollectorRegistry()
        found = application_provider()
        self.is_ours = found is None
        limits = _limits(settings.bounds)
        if found is not None:
            self.provider = found
            self._reader = PrometheusMetricReader(
                registry=self.registry, scope_info_enabled=False, cardinality_limits=limits
            )
            self.provider.add_metric_reader(self._reader)
            histograms: Histograms = SdkHistograms(self._meter(), settings.buckets)
        else:
            histograms = tallied = TallyHistograms(settings.buckets, time.time_ns())
            self._reader = TallyReader(tallied, self.registry, limits)
            self.provider = MeterProvider(
                [self._reader],
                _resource(service),
                exemplar_filter=AlwaysOffExemplarFilter(),  # a tally has none
                shutdown_on_exit=False,
                views=views(),
            )
        self.tallies = Tallies(worker, settings.bounds, histograms)
        ProcessCollector(registry=self.registry)

    def register(self, levels: WorkerLevels) -> None:
        """Create the instruments, now that there is somebody to ask for the worker's levels."""
        instruments.register(self._meter(), self.tallies, levels)

    def serves_port(self) -> bool:
        """Tell whether the SDK itself has bound the port that the specification's variables name.

        ``opentelemetry-instrument`` with OTEL_METRICS_EXPORTER=prometheus does so before Celery is imported, and
        every pool child inherits that socket.
        """
        return not self.is_ours and any(
            isinstance(reader, _AutoPrometheusMetricReader)
            for reader in self.provider._metric_readers  # noqa: SLF001  there is no public way to ask
        )

    def close(self) -> None:
        """Stop exporting; never raises for a reader that is gone already."""
        self.tallies.is_closed = True
        if self.is_ours:
            self.provider.shutdown(SHUTDOWN_MILLIS)
        else:
            self.provider.remove_metric_reader(self._reader)

    def _meter(self) -> metrics.Meter:
        return self.provider.get_meter(SCOPE, __version__)


def application_provider() -> MeterProvider | None:
    """Find the SDK provider that the application, or ``opentelemetry-instrument``, has set."""
    found = metrics.get_meter_provider()
    return found if isinstance(found, MeterProvider) else None


class TallyReader(PrometheusMetricReader):
    """The Prometheus reader, which is handed the tallied histograms along with what the SDK collected.

    ``_receive_metrics`` is the method that the SDK asks readers to override; the specification's name for what we do
    in it is a MetricProducer, which Python's SDK does not have yet.
    """

    def __init__(self, histograms: TallyHistograms, registry: CollectorRegistry, limits: CardinalityLimits) -> None:
        """Read into ``registry`` what the SDK collects, and the tallied ``histograms``."""
        super().__init__(registry=CollectorRegistry(), scope_info_enabled=False, cardinality_limits=limits)
        self._histograms = histograms
        self._collector = RememberingCollector(scope_info_enabled=False)
        self._collector._callback = self.collect  # type: ignore[assignment]  # noqa: SLF001  as the exporter does
        self._registry = registry
        registry.register(self._collector)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> None:
        for resource_metrics in metrics_data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                if scope_metrics.scope.name == SCOPE:
                    scope_metrics.metrics.extend(self._histograms.collect(time.time_ns()))  # type: ignore[attr-defined]
        super()._receive_metrics(metrics_data, timeout_millis, **kwargs)


class NoExemplars(ExemplarReservoir):
    """Keeps no exemplar: the pull port shows none, and an empty reservoir of the SDK's is emptied for each series."""

    def __init__(self, **_: object) -> None:
        """Ignore what the SDK tells its reservoirs."""

    def offer(self, *_: object, **__: object) -> None:
        """Let it pass."""

    def collect(self, point_attributes: Attributes) -> list[Exemplar]:
        """Return none."""
        del point_attributes
        return []


def views() -> list[View]:
    """Map each instrument onto its documented name and labels, and drop what would time every task twice.

    No view carries an aggregation of ours: it would beat an exporter's preference for exponential buckets.
    """
    ours = [
        View(
            instrument_name=metric.name,
            meter_name=SCOPE,
            name=metric.name,
            attribute_keys=set(metric.attributes),
            exemplar_reservoir_factory=lambda _: NoExemplars,  # type: ignore[arg-type,return-value]
        )
        for metric in catalogue.METRICS
    ]
    return [*ours, View(instrument_name=CONTRIB_RUNTIME, aggregation=DropAggregation())]


def _limits(bounds: Bounds) -> CardinalityLimits:
    """Lift the SDK's limit of 2 000 points to what our own bounds allow; beyond it, it drops every label."""
    pairs = PAIRS_PER_TASK_NAME * bounds.task_names + 1
    points = max(pairs * max(len(catalogue.METRICS), bounds.exceptions + 1), MAX_QUEUES + 1)
    kinds = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter, ObservableGauge)
    return dict.fromkeys(kinds, points)


def _resource(service: str) -> Resource:
    """Describe the service by the standard variables, and by the app's name where they do not name it."""
    described = Resource.create()
    if str(described.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        described = described.merge(Resource({SERVICE_NAME: service}))
    return described
