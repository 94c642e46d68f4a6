"""Whether a process is healthy and ready, for the port, and a sentence with the reason if it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from otel_celery.lifecycle import WorkerLevels

LOOP_STALE_SECONDS = 30.0
"""Seconds without a turn of the event loop before the worker counts as stuck, as in the alert CeleryWorkerStuck."""


class Health(Protocol):
    """The health of a worker, or of another process.

    The endpoint's thread calls it, so it must neither block nor wait for the host.
    """

    def healthy(self) -> str | None:
        """Return None if the process is alive, else the sentence that says why it has to be started again."""

    def ready(self) -> str | None:
        """Return None if the process does its work, else the sentence that says why it does not."""


class WorkerHealth:
    """Reads a worker's health from its levels; implements ``Health``."""

    def __init__(self, levels: WorkerLevels) -> None:
        """Read ``levels``, which never wait for the worker."""
        self._levels = levels

    def healthy(self) -> str | None:
        """Return None: a worker whose port answers is alive, and what it waits for no new start would bring."""
        return None

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
