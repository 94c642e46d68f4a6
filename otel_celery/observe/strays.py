"""Requests of tasks with a Strategy of somebody's own (celery-batches): buffered, dropped, or run by itself.

Celery's state need not know them, and nobody need tell of their end. So each is known here for as long as anybody
holds it; what is let go of without an end is counted then, once. Tasks with Celery's own Strategy pay nothing for it.
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

    from otel_celery.lifecycle import TaskObserver, WorkerObserver
else:
    _Base = object  # these classes stand in front of whatever is there

logger = logging.getLogger("otel_celery")

_SENTENCE = (
    "otel-celery: the Strategy of task %r let go of a request that was told of no end: such requests are counted with "
    "the status 'unreported', since nobody says whether they succeeded. A Strategy that calls on_accepted, and then "
    "on_success or on_failure, of each request has their ends counted. Logged once for a task."
)


class Strays:
    """Holds requests weakly, and counts those that vanish."""

    def __init__(self, observer: WorkerObserver) -> None:
        """Know of none."""
        self.vanish_as = Outcome.UNREPORTED
        """What is let go of while the consumer closes is given back instead: Celery clears its timer there."""
        self._observer = observer
        self._home = Home()
        after_each_fork(self._forget)
        self._known: dict[int, _Reference] = {}
        self._said: set[str] = set()
        self._unsaid: list[str] = []

    def _forget(self) -> None:
        """Know of nothing in a forked child: what it lets go of are copies."""
        self._known.clear()

    def keep(self, request: Any) -> None:
        """Know a request until it ends; whoever held it strongly lets go, or it could not vanish."""
        if request._otel_books is None or request._otel_end is not None:
            return
        pass_on(request, self)
        reference = self._known[id(request)] = _Reference(request, self._on_vanished)
        reference.key, reference.books, reference.name = id(request), request._otel_books, plain.text(request.type)

    def started(self, request: Any) -> None:
        """Go on knowing a request that runs."""

    def ended(self, request: Any) -> None:
        """Forget a request."""
        self._known.pop(id(request), None)

    def __iter__(self) -> Iterator[Any]:
        """List those that somebody still holds."""
        return iter([request for each in list(self._known.values()) if (request := each()) is not None])

    def say(self) -> None:
        """Name the tasks whose requests vanished; not where that is noticed, which may be inside the logger itself."""
        while self._unsaid:
            name = self._unsaid.pop()
            if name not in self._said:
                self._said.add(name)
                logger.warning(_SENTENCE, name)

    def _on_vanished(self, reference: _Reference) -> None:
        """Count a request that nobody holds any more; called by the garbage collector, on any thread and line.

        A forked child has a copy of what was known, and lets go of it as it likes.
        """
        if self._known.get(reference.key) is not reference or not self._home.is_here:
            return
        del self._known[reference.key]
        guarded(self._observer, Where.REQUEST, reference.books.ended, self.vanish_as, None, None)
        if self.vanish_as is Outcome.UNREPORTED:
            self._unsaid.append(reference.name or OTHER)


class _Reference(ref[Any]):
    """A request that may vanish, and what must be known of it then."""

    __slots__ = ("books", "key", "name")

    key: int
    books: TaskObserver
    name: str | None


class Stray(_Base):
    """Stands in front of an observed Request class; reports to the ``strays`` of its watch."""

    _otel_watch: Any
    _otel_originals: dict[int, Any]
    """What the tasks in front of whose Request this class stands had there, by identity; None where it is inherited."""

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        """Have the request known until it ends."""
        super().__init__(message, *args, **kwargs)
        guarded(self._otel_watch.observer, Where.REQUEST, self._otel_watch.strays.keep, self)


def stray(base: type) -> type:
    """Make of an observed Request class one whose end nobody need tell; one that is so is returned as it is."""
    if issubclass(base, Stray):
        return base
    return type(f"Stray{plain.class_name(base)}", (Stray, base), {"__slots__": (), "_otel_originals": {}})


def goes_its_own_way(task: Any) -> bool:
    """Tell whether a task's messages are handled by another Strategy than Celery's."""
    chosen = task.Strategy
    if issubclass(type(chosen), str):
        chosen = symbol_by_name(chosen)
    return chosen is not strategy.default or task.start_strategy.__func__ is not Task.start_strategy
