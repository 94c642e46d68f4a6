"""One worker's metrics: its provider and readers, and the tallies behind them."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from otel_celery.forks import Home
from otel_celery.lifecycle import Where
from otel_celery.record import instruments
from otel_celery.record.meter_sink import MeterSink
from otel_celery.record.metering import Metering
from otel_celery.record.publishes import Publishes
from otel_celery.record.resource import of_worker
from otel_celery.record.showing import lasting
from otel_celery.record.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.catalogue import Metric
    from otel_celery.lifecycle import Loss
    from otel_celery.observers import Reading, WorkerLevels
    from otel_celery.settings.settings import Settings


class Recording(Metering):
    """The metering of one worker, with its tallies."""

    def __init__(self, settings: Settings, worker: str, service: str) -> None:
        """Begin to count for the worker with this node name; ``service`` is used if the environment names none."""
        super().__init__(settings, of_worker(worker, service), self._lost)
        self.has_exemplars = settings.push is not None and settings.push.has_exemplars
        if self.has_exemplars:
            import_module("opentelemetry.propagate")  # now, and not at the first request, beside a fork
        self.tallies = Tallies(worker, settings.bounds, self.histograms, wants_traces=self.has_exemplars)
        self._leaves: list[Callable[[], None]] = []

    def register(self, levels: WorkerLevels) -> None:
        """Create the instruments, now that the worker's levels can be read."""
        self._leaves.append(instruments.register(self.readings, self.tallies, levels))

    def show(self, readings: Mapping[Metric, Reading]) -> None:
        """Show readings of something besides, such as the queues."""
        is_closed = partial(getattr, self.tallies, "is_closed")
        self._leaves.append(self.readings.show(lasting(readings), self.tallies.errors, is_closed))

    def publishes(self, settings: Settings) -> Publishes:
        """Count what the worker publishes, in its main process, and in its pool's children if the relay hears them."""
        return Publishes(
            MeterSink(self.meter, settings.buckets),
            settings.bounds,
            self.tallies.worker,
            home=None if settings.child_metrics else Home(),
            folded=self.tallies.folded,
            swallowed=partial(self.tallies.swallowed, Where.PUBLISH),
        )

    def close(self) -> None:
        """Stop exporting; never raises for a reader that is gone already."""
        self.tallies.is_closed = True
        while self._leaves:
            self._leaves.pop()()
        super().close()

    def _lost(self, reason: Loss, number: int) -> None:
        self.tallies.metrics_dropped(reason, number)
