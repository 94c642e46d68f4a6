"""Whether a process is healthy and ready, for the port, each with a sentence that says why it is not.

Kubernetes restarts a process that is not healthy, and lets one that is not ready be. A worker that answers is healthy:
a restart would not help it to its broker, and would interrupt its tasks. Beat answers from another thread than that
which ticks, so it is healthy only while it ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from otel_celery.lifecycle import WorkerLevels

LOOP_STALE_SECONDS = 30.0
"""Seconds without a turn of the event loop before the worker counts as stuck, as in the alert CeleryWorkerStuck."""


class Health(Protocol):
    """The health of a process; called in the endpoint's thread, so it must neither block nor wait for the process."""

    def healthy(self) -> str | None:
        """Return None if the process need not be restarted, else the sentence that says why it has to be."""

    def ready(self) -> str | None:
        """Return None if the process does its work, else the sentence that says why it does not."""


class WorkerHealth:
    """Reads a worker's health from its levels; implements ``Health``."""

    def __init__(self, levels: WorkerLevels) -> None:
        """Read ``levels``, which never wait for the worker."""
        self._levels = levels

    def healthy(self) -> str | None:
        """Return None: a worker that answers lives, whatever it does."""

    def ready(self) -> str | None:
        """Return the reason why the worker takes no tasks now, or None if it does."""
        if self._levels.draining():
            return "the worker is shutting down"
        if not self._levels.up():
            return "the worker has not begun to consume"
        if not self._levels.broker_connected():
            return "the connection to the broker is lost"
        if not self._levels.consuming():
            return "the worker has its connection back, and does not consume yet"
        return self._idle()

    def _idle(self) -> str | None:
        """Return the reason why a connected worker takes no tasks, or None."""
        if not list(self._levels.queues()):
            return "the worker consumes no queue"
        stall = self._levels.loop_stall()
        if stall is not None and stall > LOOP_STALE_SECONDS:
            return f"the event loop has not turned for {stall:.0f} s"
        return None
