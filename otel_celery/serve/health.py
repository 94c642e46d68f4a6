"""Ready, or the sentence why not: what the port asks of whoever knows the worker. Alive is whoever answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from otel_celery.lifecycle import WorkerLevels

LOOP_STALE_SECONDS = 30.0
"""How long the event loop may stand still before the worker counts as stuck; the alert CeleryWorkerStuck agrees."""


class Health(Protocol):
    """Asked from the endpoint's thread, so it must neither block nor wait for the worker."""

    def ready(self) -> str | None:
        """Return None if the worker takes tasks, else the sentence that says why it does not."""


class WorkerHealth:
    """Answers for a worker by its levels; implements ``Health``."""

    def __init__(self, levels: WorkerLevels) -> None:
        """Ask ``levels``, which never wait for the worker."""
        self._levels = levels

    def ready(self) -> str | None:
        """Tell why the worker does not consume now, or None if it does."""
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
        """Tell why a worker that consumes takes no tasks all the same."""
        if not list(self._levels.queues()):
            return "the worker consumes no queue"
        stall = self._levels.loop_stall()
        if stall is not None and stall > LOOP_STALE_SECONDS:
            return f"the event loop has not turned for {stall:.0f} s"
        return None
