"""One worker's metrics: its provider and readers, and the tallies behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.record import instruments
from otel_celery.record.metering import Metering
from otel_celery.record.resource import of_worker
from otel_celery.record.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.lifecycle import Loss, WorkerLevels
    from otel_celery.settings.settings import Settings


class Recording(Metering):
    """The metering of one worker, with its tallies."""

    def __init__(self, settings: Settings, worker: str, service: str) -> None:
        """Begin to count for the worker with this node name; ``service`` is used if the environment names none."""
        super().__init__(settings, of_worker(worker, service), self._lost)
        self.has_exemplars = settings.push is not None and settings.push.has_exemplars
        self.tallies = Tallies(worker, settings.bounds, self.histograms, wants_traces=self.has_exemplars)
        self._leave: Callable[[], None] = lambda: None

    def register(self, levels: WorkerLevels) -> None:
        """Create the instruments, now that the worker's levels can be read."""
        self._leave = instruments.register(self.meter, self.tallies, levels)

    def close(self) -> None:
        """Stop exporting; never raises for a reader that is gone already."""
        self.tallies.is_closed = True
        self._leave()
        super().close()

    def _lost(self, reason: Loss, number: int) -> None:
        self.tallies.metrics_dropped(reason, number)
