"""A provider with our views and readers on it, and what leaves by them: the half of a recording that knows no worker.

If the application, or ``opentelemetry-instrument``, has set an SDK MeterProvider, our readers are added to it.
Otherwise we make one of our own, and leave the global one unset: ``set_meter_provider`` works once a process, and that
once is the application's.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry import metrics
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    TraceBasedExemplarFilter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_celery import catalogue
from otel_celery.catalogue import SCOPE
from otel_celery.export import plugins
from otel_celery.record.histograms import BothHistograms, SdkHistograms, TallyHistograms
from otel_celery.record.labels import MAX_ASKED_QUEUES
from otel_celery.record.produced import ProducedReadings
from otel_celery.record.producers import Producers
from otel_celery.record.refusals import Refusals
from otel_celery.record.source import SourceReader
from otel_celery.record.tallies import PAIRS_PER_TASK_NAME
from otel_celery.record.views import views
from otel_celery.settings import variables
from otel_celery.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics import ExemplarFilter
    from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricReader
    from opentelemetry.sdk.resources import Resource
    from prometheus_client import CollectorRegistry

    from otel_celery.lifecycle import Loss
    from otel_celery.record.foreign import ForeignMetrics
    from otel_celery.record.histograms import Histograms
    from otel_celery.record.pusher import Hold
    from otel_celery.record.pushers import Pushers
    from otel_celery.record.showing import Readings
    from otel_celery.settings.push import Push
    from otel_celery.settings.settings import Bounds, Settings

logger = logging.getLogger("otel_celery")


class Metering:
    """A provider, the registry that the port serves, and the exporters that push; made once for each recording."""

    def __init__(self, settings: Settings, described: Resource, lost: Callable[[Loss, int], None]) -> None:
        """Make the provider of the process that is ``described``, or use the application's.

        ``lost`` gets the reason and the number of others' points that cannot be shown or pushed.
        """
        self.pushers = _pushers(settings.push) if settings.push is not None else None
        found = application_provider() if settings.enabled else None  # with metrics off, no reader is to have them
        self.is_ours = found is None
        self.provider = found or _provider(described, settings.push)
        self.producers = Producers(described if self.is_ours else None)
        self._limits = limits(settings.bounds)
        self._reader: SourceReader | None = None
        self._began = InstrumentationScope(SCOPE, __version__), time.time_ns()
        self._label_length = settings.bounds.label_length
        self._refused = Refusals(lost)
        self._sdk: SdkHistograms | None = None
        needs_sdk = not self.is_ours or (settings.push is not None and settings.push.needs_sdk)
        self.readings = self._readings(needs_sdk=needs_sdk)
        self.histograms, self._stand_in = self._histograms(settings, needs_sdk=needs_sdk)
        if settings.port is not None:
            self._reader = SourceReader(cardinality_limits=self._limits)
            self.provider.add_metric_reader(self._reader)

    @functools.cached_property
    def registry(self) -> CollectorRegistry:
        """The registry that the port serves; made, and prometheus_client imported, when the port is opened."""
        from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415  children never need it

        registry = CollectorRegistry()
        if self._reader is not None:
            from otel_celery.record.pull import PullReader  # noqa: PLC0415  the same

            shown = PullReader(self._reader, registry, self.producers, self._foreign(), self._stand_in)
            self._reader.on_shutdown = shown.shutdown
        ProcessCollector(registry=registry)
        return registry

    @property
    def meter(self) -> metrics.Meter:
        """Return our meter."""
        return self.provider.get_meter(SCOPE, __version__)

    def serves_port(self) -> bool:
        """Tell whether the SDK itself has bound the port that the specification's variables name.

        ``opentelemetry-instrument`` with OTEL_METRICS_EXPORTER=prometheus does so before Celery is imported, and
        every pool child inherits that socket.
        """
        readers = self._their_readers()
        if not readers or "opentelemetry.exporter.prometheus" not in sys.modules:
            return False  # what was not imported has served nothing
        found = plugins.find("opentelemetry_metrics_exporter", "prometheus")
        served = found.load() if found is not None else ()
        return any(isinstance(reader, served) for reader in readers)

    def pushes_already(self) -> bool:
        """Tell whether the application's provider pushes by itself, as that of ``opentelemetry-instrument`` does."""
        return any(isinstance(reader, PeriodicExportingMetricReader) for reader in self._their_readers())

    def start_pushing(self, hold: Hold) -> None:
        """Push from now on; ``hold`` keeps forks waiting while metrics are collected.

        Pushes nothing where no exporter is named.
        """
        if self.pushers is None:
            return
        from otel_celery.record.process import ProcessFigures  # noqa: PLC0415  as in _pushers

        figures = partial(ProcessFigures, *self._began)
        foreign = self._foreign, self._refused
        self.pushers.start(self.provider, self._limits, (self.producers, figures), hold, foreign)

    def flush(self, until: float) -> None:
        """Push the last values, each reader by itself, until this moment of the monotonic clock; never raises."""
        if self._sdk is not None:
            self._sdk.settle()
        threads = [
            threading.Thread(target=_flush, args=(reader, until), daemon=True)
            for reader in self._their_readers()
            if isinstance(reader, PeriodicExportingMetricReader)
        ]
        for thread in threads:
            with contextlib.suppress(RuntimeError):  # no thread can start at a process's end; the SDK flushes then
                thread.start()
        if self.pushers is not None:
            self.pushers.finish(until)
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Take our readers off the provider; never raises for one that is gone already."""
        if self.pushers is not None:
            self.pushers.close()
        if self._reader is not None:
            self.provider.remove_metric_reader(self._reader)
            self._reader = None

    def _readings(self, *, needs_sdk: bool) -> Readings:
        """Choose the way of counters and gauges: somebody else's views, or deltas, need the SDK's instruments."""
        if needs_sdk:
            from otel_celery.record.observed import ObservedReadings  # noqa: PLC0415  most workers do not

            return ObservedReadings(self.meter)
        produced = ProducedReadings(*self._began)
        self.producers.add(produced)
        return produced

    def _histograms(self, settings: Settings, *, needs_sdk: bool) -> tuple[Histograms, TallyHistograms | None]:
        """Choose the recorder of histograms, and the tallies that stand in where a view makes them exponential."""
        tallied = TallyHistograms(settings.buckets, *self._began)
        if not needs_sdk:
            self.producers.add(tallied)
            return tallied, None
        self._sdk = SdkHistograms(self.meter, settings.buckets)
        if settings.port is not None and not self.is_ours:
            return BothHistograms(self._sdk, tallied), tallied
        return self._sdk, None

    def _foreign(self) -> ForeignMetrics:
        from otel_celery.record.foreign import ForeignMetrics  # noqa: PLC0415  as in ``registry``

        return ForeignMetrics(self._began[0], self._label_length, self._refused)

    def _their_readers(self) -> Sequence[MetricReader]:
        """List the readers that the application made its provider with; the SDK has no public way to ask."""
        if self.is_ours:
            return ()
        readers: Sequence[MetricReader] | None = getattr(self.provider, "_metric_readers", None)
        if readers is None:
            logger.warning(
                "otel-celery: this release of the OpenTelemetry SDK does not say which readers a MeterProvider has: "
                "where the application's pushes or serves by itself, its metrics are there twice"
            )
        return readers or ()


def _pushers(push: Push) -> Pushers:
    from otel_celery.record.pushers import Pushers  # noqa: PLC0415  only where something is pushed

    return Pushers(push)


def application_provider() -> MeterProvider | None:
    """Return the SDK provider that the application, or ``opentelemetry-instrument``, has set; None without one.

    Raises RefusedError if OTEL_PYTHON_METER_PROVIDER names a provider that cannot be made.
    """
    found = plugins.provided(metrics.get_meter_provider, variables.METER_PROVIDER.name)
    return found if isinstance(found, MeterProvider) else None


def _provider(described: Resource, push: Push | None) -> MeterProvider:
    has_exemplars = push is not None and push.has_exemplars
    return MeterProvider(
        resource=described,
        exemplar_filter=_exemplar_filter(push) if push is not None and has_exemplars else AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
        views=views(has_exemplars=has_exemplars),
    )


def _exemplar_filter(push: Push) -> ExemplarFilter:
    """Make the filter ourselves: the SDK refuses OTEL_METRICS_EXEMPLAR_FILTER where it is empty, or in capitals."""
    return AlwaysOnExemplarFilter() if push.exemplars == "always_on" else TraceBasedExemplarFilter()


def _flush(reader: MetricReader, until: float) -> None:
    with contextlib.suppress(Exception):  # the application's exporter has logged it
        reader.force_flush(max(0.0, until - time.monotonic()) * 1000)


def limits(bounds: Bounds) -> CardinalityLimits:
    """Raise the SDK's limit of 2 000 points to our own bounds; beyond its limit the SDK drops every label."""
    pairs = (PAIRS_PER_TASK_NAME + 1) * bounds.task_names + 1
    points = max(pairs * max(len(catalogue.METRICS), bounds.exceptions + 1), MAX_ASKED_QUEUES + 1)
    kinds = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter, ObservableGauge)
    return dict.fromkeys(kinds, points)
