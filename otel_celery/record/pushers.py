"""The exporters of one worker: loaded before the pool forks, created after it, and flushed at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import MetricReader

from otel_celery.record.exporters import ExporterError, load, make
from otel_celery.record.pusher import Pusher, PushReader, has_deltas

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricExporter

    from otel_celery.record.foreign import ForeignMetrics
    from otel_celery.record.producers import Producer
    from otel_celery.record.pusher import Hold
    from otel_celery.record.refusals import Refusals
    from otel_celery.settings.otlp import Exporter
    from otel_celery.settings.push import Push


class Pushers:
    """The exporters of one worker; one that cannot be loaded or created is left out, and named in ``problems``."""

    def __init__(self, push: Push) -> None:
        """Import every exporter's class."""
        self.problems: list[str] = []
        self._push = push
        self._loaded: list[tuple[Exporter, type[MetricExporter | MetricReader]]] = []
        self._pushers: list[Pusher] = []
        self._readers: list[MetricReader] = []
        self._provider: MeterProvider | None = None
        for exporter in push.exporters:
            try:
                self._loaded.append((exporter, load(exporter)))
            except ExporterError as error:
                self.problems.append(str(error))

    def start(
        self,
        provider: MeterProvider,
        limits: CardinalityLimits,
        producers: tuple[Sequence[Producer], Callable[..., Producer]],
        hold: Hold,
        foreign: tuple[Callable[[], ForeignMetrics], Refusals],
    ) -> list[str]:
        """Push this provider's metrics from now on, and return the destinations; ``problems`` gets those found here.

        ``producers`` are the producers that all readers share, and a function that makes one for a single reader.
        ``foreign`` is a function that makes a reader's ForeignMetrics, and the counter of points that cannot be sent.
        Call it only after the pool has forked: no child must inherit a connection, or gRPC's threads.
        """
        self.problems.clear()
        self._provider = provider
        started = []
        for exporter, loaded in self._loaded:
            try:
                made = make(loaded, exporter, self._push)
            except ExporterError as error:
                self.problems.append(str(error))
                continue
            place = exporter.place
            if isinstance(made, MetricReader):
                reader = made
            else:
                shared, figures = producers
                reader = PushReader(made, limits, [*shared, figures(has_deltas=has_deltas(made))], foreign[0]())
                timing = self._push.interval, self._push.timeout
                self._pushers.append(Pusher(place, reader, made, timing, hold, foreign[1]))
            self._readers.append(reader)
            provider.add_metric_reader(reader)
            started.append(place)
        for pusher in self._pushers:
            pusher.start()
        return started

    def has_grpc(self) -> bool:
        """Tell whether an exporter uses gRPC."""
        return any(exporter.is_grpc for exporter, _ in self._loaded)

    def leave_out_grpc(self) -> None:
        """Leave out the exporters that use gRPC."""
        self._loaded = [(exporter, loaded) for exporter, loaded in self._loaded if not exporter.is_grpc]

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
