"""Replace the Request classes of an app's tasks by one worker's observed ones, and restore them.

``app.Task.Request`` and a task's own ``Request`` are shared by all workers of the app. Another worker must find the
application's class there, since its requests report to its own watch. So our classes are in place only while a consumer
builds the strategies, which is when Celery's own Strategy reads the class. A custom Strategy may read it for each
message. For such a task our class stays until the watch is uninstalled, or until the app's next worker starts.
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

    from otel_celery.observe.life import RequestWatch
    from otel_celery.observers import RunObserver

logger = logging.getLogger("otel_celery")

_locks: dict[str, Any] = {}


class Fronts:
    """Installs one watch's Request classes, and restores the previous ones."""

    def __init__(self, app: Any, watch: RequestWatch, runs: RunObserver | None) -> None:
        """Change nothing yet; ``runs`` follows single runs for their spans, and is None with spans off."""
        self._app = app
        self._watch = watch
        self._runs = runs
        self._classes: dict[tuple[type, bool], type] = {}
        self._originals: list[tuple[Any, Any, type]] = []
        self._staying: dict[int, tuple[Any, type]] = {}
        self._unobserved: set[str] = set()

    @contextlib.contextmanager
    def in_front(self) -> Iterator[None]:
        """Replace every task's Request while one consumer builds its strategies."""
        with _composing():
            try:
                for owner in (self._app.Task, *self._app.tasks.values()):
                    guarded(self._watch.observer, Where.REQUEST, self._put_in_front, owner)
                yield
            finally:
                while self._originals:
                    guarded(self._watch.observer, Where.REQUEST, self._put_back, *self._originals.pop())

    def take_away(self) -> None:
        """Restore the Request of each task with a custom Strategy."""
        with _composing():
            while self._staying:
                _, (owner, ours) = self._staying.popitem()
                if vars(owner).get("Request") is ours:
                    guarded(self._watch.observer, Where.REQUEST, _restore, owner)

    def _put_in_front(self, owner: Any) -> None:
        is_stray = owner is not self._app.Task and goes_its_own_way(owner)
        if is_stray:
            _restore(owner)  # an earlier connection's, or another worker's
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
        """Restore the Request class of a task, or of the app's base of all tasks.

        A class that the application has set meanwhile, in a ``start_strategy`` of its own, stays.
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
    """Set a task's own Request class; None removes it, so that the task inherits one."""
    if original is None:
        del owner.Request
    else:
        owner.Request = original


def _restore(owner: Any) -> None:
    """Remove our class, whichever worker installed it, from a task with a custom Strategy."""
    found = vars(owner).get("Request")
    if isinstance(found, type) and issubclass(found, Stray):
        _put(owner, found._otel_originals.pop(id(owner)))


def _composing() -> Any:
    """Return the lock for Request classes, which all workers of an app share.

    It is made at its first use: gevent may patch the process after the import.
    """
    return _locks.setdefault("composing", threading.RLock())
