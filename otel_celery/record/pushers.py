"""The exporters of one worker: loaded and created after the pool has forked, and flushed at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import MetricReader

from otel_celery.forks import gate
from otel_celery.masking import represented
from otel_celery.record.exporters import ExporterError, Late, load, make
from otel_celery.record.pusher import Pusher, PushReader, has_deltas

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricExporter

    from otel_celery.record.foreign import ForeignMetrics
    from otel_celery.record.producers import Producer, Producers
    from otel_celery.record.pusher import Hold
    from otel_celery.record.refusals import Refusals
    from otel_celery.settings.otlp import Exporter
    from otel_celery.settings.push import Push


class Pushers:
    """The exporters of one process; one that cannot be loaded or created is left out."""

    def __init__(self, push: Push) -> None:
        """Import nothing yet."""
        self.pushed: Callable[[str], None] = lambda _: None
        """Called with each destination once something can be pushed to it, perhaps in a thread of ours."""
        self.failed: Callable[[str], None] = lambda _: None
        """Called with a sentence about each exporter that is left out, perhaps in a thread of ours."""
        self.may_be_late = False
        """Whether OTLP's exporters are imported by the threads that push, a moment later; what fails is told then."""
        self._push = push
        self._exporters = list(push.exporters)
        self._pushers: list[Pusher] = []
        self._readers: list[MetricReader] = []
        self._provider: MeterProvider | None = None

    def start(
        self,
        provider: MeterProvider,
        limits: CardinalityLimits,
        producers: tuple[Producers, Callable[..., Producer]],
        hold: Hold,
        foreign: tuple[Callable[[], ForeignMetrics], Refusals],
    ) -> None:
        """Push this provider's metrics from now on.

        ``producers`` are the producers that all readers share, and a function that makes one for a single reader.
        ``foreign`` is a function that makes a reader's ForeignMetrics, and the counter of points that cannot be sent.
        Call it only after the pool has forked: no child must inherit a connection, or gRPC's threads.
        """
        self._provider = provider
        for exporter in self._exporters:
            try:
                made = self._made(exporter)
            except ExporterError as error:
                self.failed(str(error))
                continue
            except Exception as error:  # noqa: BLE001  whatever a library raises as it is imported
                self.failed(f"no metrics are pushed to {exporter.place}: {represented(error)}")
                continue
            place = exporter.place
            if isinstance(made, MetricReader):
                reader = made
            else:
                shared, figures = producers
                reader = PushReader(made, limits, shared.besides(figures(has_deltas=has_deltas(made))), foreign[0]())
                timing = self._push.interval, self._push.timeout
                pusher = Pusher(place, reader, made, timing, hold, foreign[1])
                pusher.opened, pusher.failed = self.pushed, self.failed
                self._pushers.append(pusher)
            self._readers.append(reader)
            provider.add_metric_reader(reader)
            if not isinstance(made, Late):
                self.pushed(place)
        for pusher in self._pushers:
            pusher.start()

    def _made(self, exporter: Exporter) -> MetricExporter | MetricReader | Late:
        if self.may_be_late and exporter.otlp is not None:
            return Late(exporter, self._push)
        with gate().importing():
            loaded = load(exporter)
            if exporter.otlp is not None:  # may import more as it is made
                return make(loaded, exporter, self._push)
        return make(loaded, exporter, self._push)

    def has_grpc(self) -> bool:
        """Tell whether an exporter uses gRPC."""
        return any(exporter.is_grpc for exporter in self._exporters)

    def leave_out_grpc(self) -> None:
        """Leave out the exporters that use gRPC."""
        self._exporters = [exporter for exporter in self._exporters if not exporter.is_grpc]

    def finish(self, until: float) -> None:
        """Push the last values, all exporters at once, and wait at most until this moment of the monotonic clock."""
        for pusher in self._pushers:
            pusher.stop()
        for pusher in self._pushers:
            pusher.wait(until)

    def close(self) -> None:
        """Remove the readers from the provider."""
        for reader in self._readers:
            if self._provider is not None:
                self._provider.remove_metric_reader(reader)
        self._readers.clear()
