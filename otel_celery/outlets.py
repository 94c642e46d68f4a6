"""What one worker has open, and how it is let go of: once, by whichever end comes first.

That is the worker's own end; the process's; or the garbage collector's, for a worker that was made and never started.
So nothing here refers to the worker, and what refers to this from outside the worker is gone after the end.
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
    from otel_celery.record.recording import Recording
    from otel_celery.relay.main.relay import Relay
    from otel_celery.serve.server import Endpoint
    from otel_celery.trace.worker import WorkerTraces

_open: weakref.WeakSet[Outlets] = weakref.WeakSet()
"""Those of this process: two workers may want the same port."""


class Outlets:
    """The books, port, relay and spans of one worker."""

    def __init__(self, worker: str, recording: Recording, traces: WorkerTraces | None) -> None:
        """Begin with the books open, of the worker with this node name."""
        self.worker = worker
        self.recording = recording
        self.traces = traces
        self.relay: Relay | None = None
        self.endpoint: Endpoint | None = None
        self.port: int | None = None
        """The number of the port, once it is open."""
        self.is_closed = False
        self._home = Home()
        self._lock = threading.Lock()

    def watch(self, worker: Any) -> None:
        """See to the end of the process and of this object, whose name we have."""
        _open.add(self)
        atexit.register(self._on_exit)
        self._finalizer = weakref.finalize(worker, self._on_collected)
        self._finalizer.atexit = False

    def take(self, relay: Relay) -> None:
        """Close this relay with the rest; pool children say goodbye to it."""
        self.relay = relay
        signals.worker_process_shutdown.connect(self._on_child_end, weak=False)

    def neighbour_on(self, port: int) -> str | None:
        """Name the other worker of this very process that has the port with this number."""
        return next((other.worker for other in list(_open) if other is not self and other.port == port), None)

    def close(self) -> None:
        """Push the last values, close the port and stop exporting; only in the process that began it, and once."""
        until = time.monotonic() + WORKER_SECONDS
        if self._end():
            self._flush(until)
            guarded(self.recording.tallies, Where.PORT, self._close)
            if self.traces is not None:
                guarded(self.recording.tallies, Where.REQUEST, self.traces.uninstrument)

    def _on_exit(self) -> None:
        """Do the same at the process's end, but leave the books open: the SDK flushes its own readers after this."""
        until = time.monotonic() + WORKER_SECONDS
        if self._end():
            self._flush(until)
            if self.endpoint is not None:
                guarded(self.recording.tallies, Where.PORT, self.endpoint.close)

    def _on_collected(self) -> None:
        """Close in a thread: the collector interrupts any thread anywhere, with whatever locks it holds."""
        if not self._home.is_here:
            return  # a forked child has its own copies, and lets go of them by itself
        self.recording.tallies.is_closed = True  # at once, for there is no worker left to be asked
        with contextlib.suppress(RuntimeError):  # at the process's end no thread can be started, nor need be
            threading.Thread(target=self.close, name="otel-celery-close", daemon=True).start()

    def _flush(self, until: float) -> None:
        """Have metrics sent, and wait for them and for the spans, which are on their way meanwhile."""
        guarded(self.recording.tallies, Where.PUSH, self.recording.flush, until)
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
        if self.relay is not None:
            signals.worker_process_shutdown.disconnect(self._on_child_end)
            guarded(self.recording.tallies, Where.RELAY, self.relay.close)  # first: the rest exports what it heard
        return True

    def _close(self) -> None:
        if self.endpoint is not None:
            self.endpoint.close()
        _open.discard(self)
        self.recording.close()

    def _on_child_end(self, **_: object) -> None:
        if self.relay is not None:
            self.relay.say_goodbye()
