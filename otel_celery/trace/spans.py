"""Where a process's ended spans go: to batch processors of its own, made when its first span ends.

One provider, made before the pool forks, serves the main process and its children: what may not cross a fork, which
is the exporter's connection and the batching thread, stands here.
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
from otel_celery.interruption import is_interruption
from otel_celery.masking import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

logger = logging.getLogger("otel_celery")


class ProcessSpans(SpanProcessor):
    """Hands each ended span to processors that belong to the process in which it ended."""

    _own: Sequence[SpanProcessor] | None

    def __init__(self, make: Callable[[], Sequence[SpanProcessor]]) -> None:
        """Have ``make`` called in each process in which a span ends."""
        self._make = make
        self._forget()
        forks.after_each_fork(self._forget)

    def discard(self, span_id: int) -> None:
        """Throw away the span of this id when it ends: the main process tells of it."""
        self._discarded.add(span_id)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand a span over; raises nothing but what interrupts the task whose span it is, such as its time limit.

        Then the span is kept, and handed over with the next one.
        """
        if span.context is not None and span.context.span_id in self._discarded:
            self._discarded.discard(span.context.span_id)
            return
        self._ended.append(span)
        self._hand_over()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what has ended; this may take longer than asked for, and is bounded by those who call it."""
        if self._ended:
            self._hand_over()
        return min([processor.force_flush(timeout_millis) for processor in self._own or ()], default=True)

    def shutdown(self) -> None:
        """Send what has ended, and stop: what ends later is sent nowhere."""
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
        """Make it when it is first needed: the process may be patched by gevent or eventlet before that.

        Re-entrant, since a signal handler may end a span while the main thread does.
        """
        return self._locks.setdefault("make", threading.RLock())

    def _made(self) -> Sequence[SpanProcessor]:
        try:
            return self._make()
        except Exception as error:  # a bad endpoint or batch size; the task must not see it, but its own time limit
            if is_interruption(error):
                raise
            said = "otel-celery: spans cannot be sent from this process (pid %d): %s"
            logger.error(said, os.getpid(), reason(error))  # noqa: TRY400
            return ()
