"""Celery's WorkController, telling two moments that no signal tells: its logging is set up, and it is over.

``worker_shutdown`` is sent by a warm stop alone: a cold one, ``WorkController.terminate()`` and so every worker of
``celery.contrib.testing`` end without it. No bootstep tells either: those are stopped before the pool has drained, and
not at all where one of them could not be started.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from celery import bootsteps

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from celery.worker import WorkController as _Base
else:
    _Base = object  # these classes stand in front of whatever is there


def when_logging_is_set_up(worker: Any, then: Callable[[], None]) -> None:
    """Call ``then`` once, soon after ``worker_init``: what it raises ends the worker.

    ``on_init_blueprint`` is the hook in which Celery's worker program sets its logging up; a bare WorkController, whose
    logging is its owner's business, does nothing there.
    """
    original = getattr(worker, "on_init_blueprint", None)
    if original is None:  # no WorkController of Celery's
        then()
        return

    def on_init_blueprint() -> None:
        del worker.on_init_blueprint
        original()
        then()

    worker.on_init_blueprint = on_init_blueprint


class ObservedController(_Base):
    """Stands in front of a worker's class; ``_otel_over`` is called when the worker is over, perhaps more than once."""

    _otel_over: Callable[[], None]
    _otel_lock: AbstractContextManager[bool]
    _otel_busy = 0
    """How many calls of these three methods have not returned, in whichever threads."""
    _otel_failed = False

    def start(self) -> None:
        """Work; Celery itself stops or terminates the worker on all exceptions but the most unusual ones."""
        self._otel_call(super().start)

    def stop(self, *args: Any, **kwargs: Any) -> None:
        """End warmly, after the tasks that run."""
        self._otel_call(super().stop, *args, **kwargs)

    def terminate(self, *args: Any, **kwargs: Any) -> None:
        """End coldly."""
        self._otel_call(super().terminate, *args, **kwargs)

    def _otel_call(self, method: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Tell of the end with the last call that returns from an ended worker, or that fails.

        ``stop`` may return in one thread while the one that works is still in a task, as on solo. A worker that has not
        begun is not ended by it, and may still be started.
        """
        with self._otel_lock:
            self._otel_busy += 1
        try:
            method(*args, **kwargs)
        except BaseException:
            self._otel_failed = True  # nobody goes on from here
            raise
        finally:
            with self._otel_lock:
                self._otel_busy -= 1
                is_over = not self._otel_busy and (self._otel_failed or _is_terminated(self))
            if is_over:
                self._otel_over()


def observe_end(worker: Any, over: Callable[[], None]) -> None:
    """Have ``over`` called when this worker is over, after its pool has drained."""
    worker._otel_over, worker._otel_lock = over, threading.RLock()  # noqa: SLF001  ours
    base = type(worker)
    worker.__class__ = type(base.__name__, (ObservedController, base), {"__module__": base.__module__})


def _is_terminated(worker: Any) -> bool:
    return bool(getattr(getattr(worker, "blueprint", None), "state", None) == bootsteps.TERMINATE)
