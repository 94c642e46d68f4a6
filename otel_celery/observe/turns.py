"""For how long a worker's event loop has stood still: the one figure that the port and the alert go by.

A loop that turns proves that the worker takes messages. One that does not is no proof of the contrary: gevent,
eventlet, and prefork where the transport has no event loop, keep the consumer waiting inside the submission of a task
for as long as every slot is taken, which may be hours, and the worker is well. So the time during which the pool holds
the consumer up counts as if the loop turned; it stands still from the moment that a slot is free. A pool whose tasks
hang in every slot is therefore not seen here, but by their age.

Who sees that the pool is full while the loop cannot? Celery's timer, each second. Under prefork its thread submits
tasks with an ETA, and then waits like the consumer: there whoever asks looks as well. Not under gevent and eventlet,
where the timer is a greenlet: if that does not run, no greenlet does, and a full pool is no excuse.

All of it on the monotonic clock: a step of the machine's clock is not a loop that stands still.
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
        """Watch the loop of ``worker``, a WorkController; ``active`` counts the tasks that run."""
        self._worker = worker
        self._active = active
        self._at: float | None = None

    def turned(self) -> None:
        """Note that the loop turned."""
        self._at = time.monotonic()

    def resumed(self) -> None:
        """Note that the consumer is about to enter its loop again; nothing before the first turn."""
        if self._at is not None:
            self.turned()

    def overdue(self) -> None:
        """Note that the loop has not turned for a second, which is well if the pool holds it up."""
        if holds_up(self._worker.pool, self._active):
            self.turned()

    def stall(self) -> float | None:
        """Tell for how many seconds the loop has stood still; None before its first turn."""
        if self._at is None:
            return None
        if not getattr(self._worker.pool, "is_green", False):
            self.overdue()
        return max(0.0, time.monotonic() - self._at)
