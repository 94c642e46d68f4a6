"""Pass ended spans to batch processors of the process in which they end, made when its first span ends.

One provider, made before the pool forks, serves the main process and its children. An exporter's connection and a batch
processor's thread cannot be shared over a fork, so each process has its own, here.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import SpanProcessor

from otel_celery import forks
from otel_celery.interruption import interruption
from otel_celery.masking import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

logger = logging.getLogger("otel_celery")


class ProcessSpans(SpanProcessor):
    """A span processor that passes each ended span to processors of the current process."""

    _own: Sequence[SpanProcessor] | None

    def __init__(self, make: Callable[[], Sequence[SpanProcessor]]) -> None:
        """Make a process's processors with ``make``, when its first span ends."""
        self._make = make
        self._forget()
        forks.after_each_fork(self._forget)

    def discard(self, span_id: int) -> None:
        """Drop the span with this id when it ends: the main process exports it."""
        self._discarded.add(span_id)

    def on_end(self, span: ReadableSpan) -> None:
        """Pass an ended span to the processors.

        Raises only an exception that interrupts the span's task, such as its time limit. The span is kept then, and
        passed on with the next one.
        """
        if span.context is not None and span.context.span_id in self._discarded:
            self._discarded.discard(span.context.span_id)
            return
        self._ended.append(span)
        self._hand_over()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send the ended spans; the timeout is not kept, so callers have to bound the wait themselves."""
        if self._ended:
            self._hand_over()
        return min([processor.force_flush(timeout_millis) for processor in self._own or ()], default=True)

    def shutdown(self) -> None:
        """Send the ended spans, and drop later ones."""
        processors, self._own = self._own, ()
        for processor in processors or ():
            processor.shutdown()

    def _forget(self) -> None:
        self._locks: dict[str, Any] = {}
        self._own = None
        self._ended: deque[ReadableSpan] = deque()
        self._discarded: set[int] = set()

    def _hand_over(self) -> None:
        processors = self._processors()
        while self._ended:
            with suppress(IndexError):  # another thread has taken it
                span = self._ended.popleft()
                for processor in processors:
                    processor.on_end(span)

    def _processors(self) -> Sequence[SpanProcessor]:
        if self._own is None:
            with self._lock():
                if self._own is None:
                    self._keep(self._made())
        return self._own or ()

    def _keep(self, made: Sequence[SpanProcessor]) -> None:
        if self._own is None:  # a signal handler may have ended a span while these were made
            self._own = made

    def _lock(self) -> Any:
        """Make the lock at its first use, since gevent or eventlet may patch the process before that.

        It is re-entrant, since an OS signal handler may end a span while the main thread ends another.
        """
        return self._locks.setdefault("make", threading.RLock())

    def _made(self) -> Sequence[SpanProcessor]:
        try:
            return self._make()
        except Exception as error:  # noqa: BLE001  a bad endpoint; only its time limit may reach the task
            if (interrupted := interruption(error)) is not None:
                raise interrupted from None
            said = "otel-celery: spans cannot be sent from this process (pid %d): %s"
            logger.error(said, os.getpid(), reason(error))  # noqa: TRY400
            return ()
