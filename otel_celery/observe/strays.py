"""Observe requests of tasks with a custom Strategy, such as celery-batches', which buffers, drops or runs them itself.

Celery may have no record of such a request, and its end may never be reported. So each is tracked here by a weak
reference. A request that is released without an end is counted then, once. Tasks with Celery's own Strategy pay nothing
for this.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from weakref import ref

from celery import Task
from celery.worker import strategy
from kombu.utils.imports import symbol_by_name

from otel_celery.forks import Home, after_each_fork
from otel_celery.lifecycle import OTHER, Outcome, Where, guarded
from otel_celery.observe import plain
from otel_celery.observe.held import pass_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.worker.request import Request as _Base

    from otel_celery.observers import TaskObserver, WorkerObserver
else:
    _Base = object  # a mixin: its real base is the class that it is put before

logger = logging.getLogger("otel_celery")

_SENTENCE = (
    "otel-celery: the Strategy of task %r let go of a request that was told of no end: such requests are counted with "
    "the status 'unreported', since nobody says whether they succeeded. A Strategy that calls on_accepted, and then "
    "on_success or on_failure, of each request has their ends counted. Logged once for a task."
)


class Strays:
    """Tracks requests by weak references, and counts each that vanishes without an end."""

    def __init__(self, observer: WorkerObserver) -> None:
        """Track nothing yet."""
        self.vanish_as = Outcome.UNREPORTED
        """The outcome of a request that vanishes. RETURNED while the consumer closes: Celery clears its timer there."""
        self._observer = observer
        self._home = Home()
        after_each_fork(self._forget)
        self._known: dict[int, _Reference] = {}
        self._said: set[str] = set()
        self._unsaid: list[str] = []

    def _forget(self) -> None:
        """Drop all references in a forked child, where the requests are copies."""
        self._known.clear()

    def keep(self, request: Any) -> None:
        """Track a request until it ends. Its previous holder drops its strong reference, so that it can vanish."""
        if request._otel_books is None or request._otel_ends:
            return
        pass_on(request, self)
        reference = self._known[id(request)] = _Reference(request, self._on_vanished)
        reference.key, reference.books, reference.name = id(request), request._otel_books, plain.text(request.type)

    def started(self, request: Any) -> None:
        """Go on tracking a request that runs."""

    def ended(self, request: Any) -> None:
        """Stop tracking a request."""
        self._known.pop(id(request), None)

    def __iter__(self) -> Iterator[Any]:
        """List the requests that still exist."""
        return iter([request for each in list(self._known.values()) if (request := each()) is not None])

    def say(self) -> None:
        """Log the tasks whose requests vanished.

        The weak reference's callback cannot do it, since it may run inside the logger itself.
        """
        while self._unsaid:
            name = self._unsaid.pop()
            if name not in self._said:
                self._said.add(name)
                logger.warning(_SENTENCE, name)

    def _on_vanished(self, reference: _Reference) -> None:
        """Count a request that vanished.

        Called by the garbage collector, on any thread and at any line. Ignored in a forked child, whose requests are
        copies.
        """
        if self._known.get(reference.key) is not reference or not self._home.is_here:
            return
        del self._known[reference.key]
        guarded(self._observer, Where.REQUEST, reference.books.ended, self.vanish_as, None, None)
        if self.vanish_as is Outcome.UNREPORTED:
            self._unsaid.append(reference.name or OTHER)


class _Reference(ref[Any]):
    """A weak reference to a request, with the data that are needed once it has vanished."""

    __slots__ = ("books", "key", "name")

    key: int
    books: TaskObserver
    name: str | None


class Stray(_Base):
    """Mixin before an observed Request class. Reports to the ``strays`` of its watch."""

    _otel_watch: Any
    _otel_originals: dict[int, Any]
    """The Request class that this one replaces on each task, by the task's identity; None for an inherited class."""

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        """Track the request until it ends."""
        super().__init__(message, *args, **kwargs)
        guarded(self._otel_watch.observer, Where.REQUEST, self._otel_watch.strays.keep, self)


def stray(base: type) -> type:
    """Derive from an observed Request class one that ``strays`` tracks; return such a class unchanged."""
    if issubclass(base, Stray):
        return base
    return type(f"Stray{plain.class_name(base)}", (Stray, base), {"__slots__": (), "_otel_originals": {}})


def goes_its_own_way(task: Any) -> bool:
    """Tell whether a task has another Strategy than Celery's own."""
    chosen = task.Strategy
    if issubclass(type(chosen), str):
        chosen = symbol_by_name(chosen)
    return chosen is not strategy.default or task.start_strategy.__func__ is not Task.start_strategy
