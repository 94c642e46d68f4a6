"""The queue exporter: a process that asks a broker for its queues, and has a worker's port without being one."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from otel_celery.ending import THREAD_SECONDS
from otel_celery.lifecycle import Where
from otel_celery.queues import readings
from otel_celery.queues.refresher import Refresher
from otel_celery.station import Station

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.queues.broker import Make
    from otel_celery.queues.figures import Asked
    from otel_celery.settings.settings import Settings

NAME = "celery-queues"
"""The service's name, where the environment has none."""


def serve(settings: Settings, make: Make, asked: Callable[[], Asked]) -> None:
    """Serve the queues' figures until SIGTERM or SIGINT; for the main thread of a process of its own.

    Raises SystemExit in a strict environment if the port is taken, and RefusedError as Station does.
    """
    health = _Health()
    station = Station(settings, NAME, health, Where.QUEUES)
    health.refresher = refresher = Refresher(make, asked, settings.queues, station.errors)
    station.show(readings.of(refresher, station.labels.queue))
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        station.open()
        refresher.start()
        over.wait()
    finally:
        refresher.stop(THREAD_SECONDS)
        station.close()


class _Health:
    """The refresher's health, which needs the station's errors and so is made after it."""

    refresher: Any = None

    def healthy(self) -> str | None:
        """Return why the process has to be started again, or None."""
        return None if self.refresher is None else self.refresher.healthy()

    def ready(self) -> str | None:
        """Return why there are no figures, or None."""
        return None if self.refresher is None else self.refresher.ready()
