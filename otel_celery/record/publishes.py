"""Counts what one process publishes; the metrics are kept by a sink, which is OpenTelemetry's or prometheus_client's.

A handler of an OS signal may publish at any line of the main thread. If that is a line of a sink, whose locks are not
re-entrant, to record there would deadlock. Such a publish is put aside, and recorded with the one that it interrupted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from otel_celery.lifecycle import OTHER
from otel_celery.record.labels import Labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.forks import Home
    from otel_celery.settings.settings import Bounds

    Pair = tuple[str, str]

logger = logging.getLogger("otel_celery")

MAX_KNOWN = 10_000
"""Cached pairs of task and queue at most."""


class Sink(Protocol):
    """Keeps the three metrics of publishing."""

    def record(self, attributes: Mapping[str, str], seconds: float, exception: str | None) -> None:
        """Record one publish, and the label of the exception that it failed with, if it did."""


class Publishes:
    """Counts publishes in a sink, with labels that are plain and bounded; implements ``observers.PublishObserver``."""

    def __init__(  # noqa: PLR0913  what differs between a worker and a process that is none
        self,
        sink: Sink,
        bounds: Bounds,
        worker: str | None = None,
        *,
        folded: Callable[[str], None] | None = None,
        swallowed: Callable[[Exception], None] | None = None,
        home: Home | None = None,
    ) -> None:
        """``worker`` is the node name where a worker publishes; ``folded`` and ``swallowed`` count instead of us.

        With ``home`` nothing is counted in other processes: those forked from it have nobody to send their metrics.
        """
        self._sink = sink
        self._labels = Labels(bounds, folded or self._fold)
        self._home = home
        self._worker = {} if worker is None else {"worker": self._labels.clean(worker)}
        self._count_error = swallowed or self._say
        self._known: dict[Pair, Mapping[str, str]] = {}
        self._recording: set[int] = set()
        self._aside: deque[tuple[Any, Any, float, str | None]] = deque()
        self._said: set[object] = set()

    def published(self, name: Any, queue: Any, seconds: float, exception: str | None) -> None:
        """Count one publish."""
        if self._home is not None and not self._home.is_here:
            return
        me = threading.get_ident()
        self._aside.append((name, queue, seconds, exception))
        if me in self._recording:
            return
        self._recording.add(me)
        try:
            while True:
                try:
                    told = self._aside.popleft()
                except IndexError:  # none is left, or another thread was faster
                    return
                self._record(*told)
        finally:
            self._recording.discard(me)

    def swallowed(self, error: Exception) -> None:
        """Note an exception of ours that was kept from the publisher."""
        self._count_error(error)

    def _record(self, name: Any, queue: Any, seconds: float, exception: str | None) -> None:
        pair = _text(name), _text(queue)
        attributes = self._known.get(pair)
        if attributes is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            labels = {"task_name": self._labels.task_name(pair[0]), "queue": self._labels.queue(pair[1])}
            attributes = self._known[pair] = {**self._worker, **labels}
        self._sink.record(attributes, seconds, None if exception is None else self._labels.exception(exception))

    def _fold(self, what: str) -> None:
        if self._is_new(what):
            logger.warning(
                "otel-celery: too many different values of %s in what this process publishes: further ones are counted "
                "as %r (see the OTEL_PYTHON_CELERY_MAX_* settings)",
                what,
                OTHER,
            )

    def _say(self, error: Exception) -> None:
        with suppress(Exception):  # a user's log handler may raise
            if self._is_new(id(type(error))):
                logger.error(
                    "otel-celery: an error of its own was kept from the publisher; some published messages may not be "
                    "counted. It is logged once.",
                    exc_info=error,
                )

    def _is_new(self, what: object) -> bool:
        new = what not in self._said
        self._said.add(what)
        return new


def _text(value: Any) -> str:
    """Return a plain copy of a text; ``other`` for any other object, of which no method is called."""
    return str.__str__(value) if issubclass(type(value), str) else OTHER
