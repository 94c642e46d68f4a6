"""Measure for how long a worker's event loop has stood still; readiness and the alert use this one figure.

A loop that turns proves that the worker takes messages. A loop that stands still does not prove a fault. On gevent, on
eventlet, and on prefork over a transport without an event loop, submitting a task blocks the consumer while every slot
is taken. That may last for hours in a healthy worker. So time during which a full pool blocks the consumer counts as if
the loop turned, and a stall begins when a slot is free. A pool whose tasks hang in every slot is found by the age of
its tasks, not here.

While the loop is blocked, Celery's timer checks the pool each second. On prefork the timer's thread submits tasks with
an ETA, and then blocks as the consumer does, so each reading of the stall checks the pool too. On gevent and eventlet a
reading does not check it. There the timer is a greenlet: if it does not run, no greenlet does, and a full pool is no
excuse.

Times are monotonic: a step of the machine's clock is not a stall.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from otel_celery.observe.slots import holds_up

if TYPE_CHECKING:
    from collections.abc import Callable


class Turns:
    """The turns of one worker's event loop."""

    def __init__(self, worker: Any, active: Callable[[], int]) -> None:
        """Watch the loop of ``worker``, a WorkController; ``active`` counts the running tasks."""
        self._worker = worker
        self._active = active
        self._at: float | None = None

    def turned(self) -> None:
        """Note that the loop turned."""
        self._at = time.monotonic()

    def resumed(self) -> None:
        """Note that the consumer is about to enter its loop again; ignored before the first turn."""
        if self._at is not None:
            self.turned()

    def overdue(self) -> None:
        """Note that the loop has not turned for a second, which counts as a turn if the pool holds it up."""
        if holds_up(self._worker.pool, self._active):
            self.turned()

    def stall(self) -> float | None:
        """Return for how many seconds the loop has stood still; None before its first turn."""
        if self._at is None:
            return None
        if not getattr(self._worker.pool, "is_green", False):
            self.overdue()
        return max(0.0, time.monotonic() - self._at)
