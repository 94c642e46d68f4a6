"""Whether a process is healthy and ready, for the port, each with a sentence that says why it is not.

Kubernetes restarts a process that is not healthy, and lets one that is not ready be. A worker that answers is healthy:
a restart would not help it to its broker, and would interrupt its tasks. Beat answers from another thread than that
which ticks, so it is healthy only while it ticks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from otel_celery.observers import BeatLevels, WorkerLevels

LOOP_STALE_SECONDS = 30.0
"""Seconds without a turn of the event loop before the worker counts as stuck, as in the alert CeleryWorkerStuck."""

BROKER_SECONDS = 60.0
"""Seconds that may pass between two of beat's attempts to reach its broker: kombu waits 30, an attempt takes 30."""

TICK_SECONDS = 30.0
"""Seconds that a tick itself may take, before beat counts as stopped."""


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


class BeatHealth:
    """Tells a beat's health from its pulse; implements ``Health``."""

    def __init__(self, levels: BeatLevels) -> None:
        """Read ``levels``, which never wait for the scheduler."""
        self._levels = levels

    def healthy(self) -> str | None:
        """Return None unless beat has stopped to tick.

        A beat that has not begun is healthy: RedBeat waits, perhaps for days, until another beat gives up its lock.
        """
        silence, longest = self._levels.silence(), self._levels.longest_sleep()
        if silence is None or silence <= max(longest, BROKER_SECONDS) + TICK_SECONDS:
            return None
        return f"beat has not ticked for {silence:.0f} s, and sleeps for {longest:.0f} s at most"

    def ready(self) -> str | None:
        """Return the reason why beat sends nothing now, or None if it does."""
        if self._levels.silence() is None:
            return "beat has not ticked yet"
        if self._levels.waits_for_broker():
            return "beat cannot reach the broker"
        return self.healthy()
