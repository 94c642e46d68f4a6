"""A pool class that otel-celery has never seen: one thread of its own, fed by a queue."""

from __future__ import annotations

import queue
import threading

from celery.concurrency.base import BasePool, apply_target


class TaskPool(BasePool):
    """Runs one task after another on a thread."""

    signal_safe = False

    def on_start(self):
        """Start the thread."""
        self._jobs: queue.Queue = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while (job := self._jobs.get()) is not None:
            apply_target(*job)

    def on_apply(self, target, args=None, kwargs=None, callback=None, accept_callback=None, **_):
        """Queue a task."""
        self._jobs.put((target, args, kwargs, callback, accept_callback))

    def on_stop(self):
        """Finish what is queued."""
        self._jobs.put(None)
        self._thread.join()
