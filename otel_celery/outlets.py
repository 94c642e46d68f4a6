"""The open resources of one worker (counts, port, relay, spans), closed exactly once.

The first of three ends closes them: that of the worker, that of the process, or garbage collection of a worker that
was never started. So nothing here may refer to the worker, and after the end no signal or registry refers to this.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from celery import signals

from otel_celery.ending import WORKER_SECONDS
from otel_celery.forks import Home
from otel_celery.lifecycle import Where, guarded

if TYPE_CHECKING:
    from otel_celery.outward import Outward
    from otel_celery.queues.refresher import Refresher
    from otel_celery.record.recording import Recording
    from otel_celery.relay.main.relay import Relay
    from otel_celery.trace.worker import WorkerTraces


class Outlets:
    """The counts, port, relay and spans of one worker."""

    def __init__(self, recording: Recording, outward: Outward, traces: WorkerTraces | None) -> None:
        """Begin with a worker's recording, whose port and push are opened later; the relay comes later too."""
        self.recording = recording
        self.outward = outward
        self.traces = traces
        self.relay: Relay | None = None
        self.refresher: Refresher | None = None
        self.is_closed = False
        self._home = Home()
        self._lock = threading.Lock()

    def watch(self, worker: Any) -> None:
        """Close at the end of the process, or when this worker is garbage collected."""
        atexit.register(self._on_exit)
        self._finalizer = weakref.finalize(worker, self._on_collected)
        self._finalizer.atexit = False

    def take(self, relay: Relay) -> None:
        """Close this relay with the rest; until then, let pool children send it their last values as they end."""
        self.relay = relay
        signals.worker_process_shutdown.connect(self._on_child_end, weak=False)

    def close(self) -> None:
        """Push the last values, close the port and stop exporting; do nothing a second time, or in a forked child."""
        until = time.monotonic() + WORKER_SECONDS
        if self._end():
            self._flush(until)
            self.outward.close()
            guarded(self.recording.tallies, Where.PORT, self.recording.close)
            if self.traces is not None:
                guarded(self.recording.tallies, Where.REQUEST, self.traces.uninstrument)

    def _on_exit(self) -> None:
        """Push and close the port at the process's end, but keep recording: the SDK flushes its own readers later."""
        until = time.monotonic() + WORKER_SECONDS
        if self._end():
            self._flush(until)
            self.outward.close()

    def _on_collected(self) -> None:
        """Close in a thread of its own: garbage collection may interrupt a thread that holds any lock."""
        if not self._home.is_here:
            return  # a forked child's copies are closed by at-fork handlers
        self.recording.tallies.is_closed = True  # at once: the levels have no worker to read any more
        with contextlib.suppress(RuntimeError):  # while the process ends, no thread can start
            threading.Thread(target=self.close, name="otel-celery-close", daemon=True).start()

    def _flush(self, until: float) -> None:
        """Send the last metrics and wait for them, then for the spans, whose sending has begun already."""
        self.outward.flush(until)
        if self.traces is not None:
            guarded(self.recording.tallies, Where.REQUEST, self.traces.wait)

    def _end(self) -> bool:
        if not self._home.is_here:
            return False
        with self._lock:
            if self.is_closed:
                return False
            self.is_closed = True
        atexit.unregister(self._on_exit)
        self._finalizer.detach()
        if self.traces is not None:
            guarded(self.recording.tallies, Where.REQUEST, self.traces.send)
        if self.refresher is not None:
            guarded(self.recording.tallies, Where.QUEUES, self.refresher.stop)
        if self.relay is not None:
            signals.worker_process_shutdown.disconnect(self._on_child_end)
            guarded(self.recording.tallies, Where.RELAY, self.relay.close)  # first: it adds to the last export
        return True

    def _on_child_end(self, **_: object) -> None:
        if self.relay is not None:
            self.relay.say_goodbye()
