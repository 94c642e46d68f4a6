"""Make the spans of messages that a process other than a worker publishes: a web server, a script, beat.

Nothing is set up before the first message. By then the application has set up its own tracing, if it wants any, and a
server that forks has forked.
"""

from __future__ import annotations

import atexit
import logging
import threading
from typing import TYPE_CHECKING, Any

from celery import signals

from otel_celery.forks import after_each_fork
from otel_celery.masking import reason
from otel_celery.saying import say
from otel_celery.trace import contrib
from otel_celery.trace.process import ProcessTracing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_celery.settings.traces import Traces


class PublisherTraces:
    """Sets up tracing at the first message that this process publishes, and makes its span.

    It keeps handling ``before_task_publish`` in contrib's place. While contrib is switched on, which takes some time,
    other threads and greenlets may publish, and each message needs exactly one span. So they wait. A message that the
    same thread publishes meanwhile, from a handler of the log's or of a signal, cannot wait, and has none.
    """

    def __init__(self, settings: Traces, attributes: Mapping[str, str]) -> None:
        """Wait for a first message; ``attributes`` are the resource's."""
        self._settings = settings
        self._attributes = attributes
        self._locks: dict[str, Any] = {}
        self._is_beginning = self._is_decided = False
        self._is_ours = False
        self._is_closed = False
        self._tracing: ProcessTracing | None = None
        signals.before_task_publish.connect(self._on_publish)  # weakly: this object lives as long as its app

    def open(self) -> None:
        """Set up tracing now, for a process that begins with a span of its own; do nothing a second time."""
        if self._is_decided:
            return
        with self._lock():  # two threads may publish their first messages at once
            error = self._decide()
        if error is not None:  # said once nobody waits: who has the log's lock may publish
            _say(error)

    def reopen(self) -> None:
        """Wait for a first message again, once this process's worker is over, unless tracing is set up already."""
        if not self._is_decided:
            self._is_closed = False
            signals.before_task_publish.connect(self._on_publish)

    def close(self) -> None:
        """Wait for no message: this process is a worker, with tracing of its own."""
        self._is_closed = True
        signals.before_task_publish.disconnect(self._on_publish)

    def uninstrument(self) -> None:
        """Make no more spans, and send those that have ended."""
        self.close()
        if self._tracing is not None:
            atexit.unregister(self._tracing.close)
            self._tracing.close()
            self._tracing.uninstrument()

    def _lock(self) -> Any:
        """Make the lock at its first use, since gevent or eventlet may patch the process before that."""
        return self._locks.setdefault("open", threading.RLock())

    def _forked(self) -> None:
        """Forget in a forked child the thread that was setting tracing up: nobody releases its lock here."""
        self._locks.clear()
        self._is_beginning = False

    def _on_publish(self, **message: Any) -> None:
        self.open()
        if self._is_ours:
            contrib.begin_publish(message)

    def _on_publish_when_closed(self, **message: Any) -> None:
        """Begin a message's span in contrib's place, while a worker runs in this process."""
        if self._is_closed:
            contrib.begin_publish(message)

    def _decide(self) -> Exception | None:
        """Decide whether the spans are ours, once; return the error that prevents it."""
        if self._is_decided or self._is_beginning:
            return None
        self._is_beginning = True
        try:
            error = self._begin()
        finally:
            self._is_beginning = False
        if not self._is_ours:
            self.close()
        self._is_decided = True
        return error

    def _begin(self) -> Exception | None:
        """Set tracing up; return the error that prevents it, with which the message is published without its span."""
        after_each_fork(self._forked)
        try:
            if contrib.is_on():
                return None
            self._tracing = ProcessTracing(self._settings, self._attributes, _say)
            self._tracing.start(self._on_publish_when_closed)
        except Exception as error:  # noqa: BLE001  a plug-in may raise any
            return error
        self._is_ours = True
        atexit.register(self._tracing.close)
        return None


def _say(error: Exception) -> None:
    say(logging.ERROR, f"no spans are made of what this process publishes: {reason(error)}")
