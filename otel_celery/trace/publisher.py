"""Spans of what is published from a process that is no worker: a web server, a script, beat.

Nothing is made before the first message is: by then the application has set up what it will, and a server that forks
has forked.
"""

from __future__ import annotations

import atexit
import logging
import threading
from typing import TYPE_CHECKING, Any

from celery import signals

from otel_celery.masking import reason
from otel_celery.saying import say
from otel_celery.trace import contrib
from otel_celery.trace.process import ProcessTracing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_celery.settings.traces import Traces


class PublisherTraces:
    """Waits for the first message that this process publishes, and begins with its span.

    It goes on hearing of each message, and contrib hears of none: while contrib is switched on, which takes its time,
    other threads and greenlets publish, and each message is to be heard once.
    """

    def __init__(self, settings: Traces, attributes: Mapping[str, str]) -> None:
        """Wait; ``attributes`` describe the process."""
        self._settings = settings
        self._attributes = attributes
        self._locks: dict[str, threading.Lock] = {}
        self._is_decided = False
        self._is_ours = False
        self._is_closed = False
        self._tracing: ProcessTracing | None = None
        signals.before_task_publish.connect(self._on_publish)  # weakly: it goes with its app

    def open(self) -> None:
        """Wait no longer, and make spans from now on: for a process that begins with a span of its own."""
        if self._is_decided:
            return
        with self._lock():  # a second thread may publish its first message meanwhile
            if not self._is_decided:
                self._begin()
                if not self._is_ours:
                    self.close()
                self._is_decided = True

    def reopen(self) -> None:
        """Wait again, once the worker that this process was is over, unless it was decided before that."""
        if not self._is_decided:
            self._is_closed = False
            signals.before_task_publish.connect(self._on_publish)

    def close(self) -> None:
        """Wait no longer: a worker has tracing of its own."""
        self._is_closed = True
        signals.before_task_publish.disconnect(self._on_publish)

    def uninstrument(self) -> None:
        """Make no more spans; those that were made are sent."""
        self.close()
        if self._tracing is not None:
            atexit.unregister(self._tracing.close)
            self._tracing.close()
            self._tracing.uninstrument()

    def _lock(self) -> threading.Lock:
        """Make it when it is first needed: the process may be patched by gevent or eventlet before that."""
        return self._locks.setdefault("open", threading.Lock())

    def _on_publish(self, **message: Any) -> None:
        self.open()
        if self._is_ours:
            contrib.begin_publish(message)

    def _on_publish_when_closed(self, **message: Any) -> None:
        """Hear of a message in contrib's place: of those that are published once a worker runs in this process."""
        if self._is_closed:
            contrib.begin_publish(message)

    def _begin(self) -> None:
        try:
            if contrib.is_on():
                return
            self._tracing = ProcessTracing(self._settings, self._attributes, _say)
            self._tracing.start(self._on_publish_when_closed)
        except Exception as error:  # noqa: BLE001  the message is published whatever becomes of its span
            _say(error)
        else:
            self._is_ours = True
            atexit.register(self._tracing.close)


def _say(error: Exception) -> None:
    say(logging.ERROR, f"no spans are made of what this process publishes: {reason(error)}")
