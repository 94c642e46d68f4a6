"""Our classes in front of the Request classes of one app's tasks, on behalf of one worker.

``app.Task.Request`` and a task's own are everybody's: another worker of the app, at once or later, must find what the
application put there, and its requests report to its own watch. So ours stand there only while a consumer asks each
task for its Strategy, which is when Celery's own reads the class. A Strategy of somebody else's may read it at each
message: there ours stay until the watch is taken away, or until the next worker of the app begins.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

from kombu.utils.imports import symbol_by_name

from otel_celery.lifecycle import OTHER, Where, guarded
from otel_celery.observe import plain
from otel_celery.observe.followed import followed
from otel_celery.observe.request import Observed, observed
from otel_celery.observe.strays import Stray, goes_its_own_way, stray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.lifecycle import RunObserver
    from otel_celery.observe.life import RequestWatch

logger = logging.getLogger("otel_celery")

_locks: dict[str, Any] = {}


class Fronts:
    """Puts one watch's classes in front, and puts back what was there."""

    def __init__(self, app: Any, watch: RequestWatch, runs: RunObserver | None) -> None:
        """Touch nothing; ``runs`` follows single runs, where there is somebody to tell of them."""
        self._app = app
        self._watch = watch
        self._runs = runs
        self._classes: dict[tuple[type, bool], type] = {}
        self._originals: list[tuple[Any, Any, type]] = []
        self._staying: dict[int, tuple[Any, type]] = {}
        self._unobserved: set[str] = set()

    @contextlib.contextmanager
    def in_front(self) -> Iterator[None]:
        """Stand in front of every task's Request while one consumer takes its own from there."""
        with _composing():
            try:
                for owner in (self._app.Task, *self._app.tasks.values()):
                    guarded(self._watch.observer, Where.REQUEST, self._put_in_front, owner)
                yield
            finally:
                while self._originals:
                    guarded(self._watch.observer, Where.REQUEST, self._put_back, *self._originals.pop())

    def take_away(self) -> None:
        """Put back what stands longer than a consumer asks."""
        with _composing():
            while self._staying:
                _, (owner, ours) = self._staying.popitem()
                if vars(owner).get("Request") is ours:
                    guarded(self._watch.observer, Where.REQUEST, _restore, owner)

    def _put_in_front(self, owner: Any) -> None:
        is_stray = owner is not self._app.Task and goes_its_own_way(owner)
        if is_stray:
            _restore(owner)  # ours of the connection before, or another worker's
        base = symbol_by_name(owner.Request)
        if issubclass(base, Observed) and not is_stray:
            return  # inherited from app.Task
        if (base, is_stray) not in self._classes:
            self._classes[base, is_stray] = self._in_front_of(base, is_stray=is_stray)
        ours: Any = self._classes[base, is_stray]
        original = vars(owner).get("Request")
        if is_stray:
            ours._otel_originals[id(owner)] = original
        self._originals.append((owner, original, ours))
        owner.Request = ours

    def _in_front_of(self, base: type, *, is_stray: bool) -> type:
        request_class = observed(base, self._watch)
        if is_stray:
            request_class = stray(request_class)
        return request_class if self._runs is None else followed(request_class, self._runs)

    def _put_back(self, owner: Any, original: Any, ours: type) -> None:
        """Give a task, or the app's base of all tasks, its own Request again.

        What the application put there meanwhile, in a ``start_strategy`` of its own, stays.
        """
        if vars(owner).get("Request") is not ours:
            self._say_unobserved(plain.text(owner.name) or OTHER)
        elif issubclass(ours, Stray):
            self._staying[id(owner)] = owner, ours
        else:
            _put(owner, original)

    def _say_unobserved(self, name: str) -> None:
        if name not in self._unobserved:
            self._unobserved.add(name)
            logger.warning(
                "otel-celery: task %r sets its Request class while the worker asks it for its Strategy: its messages "
                "are not counted. Set Request where the task is defined. Logged once for a task.",
                name,
            )


def _put(owner: Any, original: Any) -> None:
    """Have a task's own Request be this; None where it inherits one."""
    if original is None:
        del owner.Request
    else:
        owner.Request = original


def _restore(owner: Any) -> None:
    """Take a class of ours, whichever worker put it there, away from a task with a Strategy of its own."""
    found = vars(owner).get("Request")
    if isinstance(found, type) and issubclass(found, Stray):
        _put(owner, found._otel_originals.pop(id(owner)))


def _composing() -> Any:
    """Give the lock of what all workers of an app share, made when it is first needed: a patch may come before that."""
    return _locks.setdefault("composing", threading.RLock())
