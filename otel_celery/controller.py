"""Hooks on Celery's WorkController for moments that no signal announces: logging is set up, the worker starts, is over.

Celery sends ``worker_shutdown`` on a warm shutdown only. A cold shutdown, ``WorkController.terminate()`` and every
worker of ``celery.contrib.testing`` end without it. A bootstep does not tell the end either: bootsteps are stopped
before the pool has drained, and not at all if one of them could not be started.
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
    _Base = object  # the worker's own class follows in the MRO


def when_logging_is_set_up(worker: Any, then: Callable[[], None]) -> None:
    """Call ``then`` once, after ``worker_init``, when the worker's logging is set up.

    Celery's worker program sets up its logging in the hook ``on_init_blueprint``. A bare WorkController does nothing
    there: its owner sets up logging. An exception that ``then`` raises ends the worker.
    """
    original = getattr(worker, "on_init_blueprint", None)
    if original is None:  # not Celery's WorkController
        then()
        return

    def on_init_blueprint() -> None:
        vars(worker).pop("on_init_blueprint", None)  # it may stand there for several
        original()
        then()

    worker.on_init_blueprint = on_init_blueprint


class ObservedController(_Base):
    """A mixin in front of a worker's class; calls ``_otel_starts`` as the worker starts, before its pool forks.

    It calls ``_otel_over`` when the worker is over, perhaps more than once.
    """

    _otel_starts: Callable[[], None]
    _otel_over: Callable[[], None]
    _otel_lock: AbstractContextManager[bool]
    _otel_busy = 0
    """Calls of these three methods that have not returned yet, in all threads."""
    _otel_failed = False

    def start(self) -> None:
        """Run the worker; on nearly every exception Celery itself stops or terminates it."""
        self._otel_call(self._otel_start)

    def stop(self, *args: Any, **kwargs: Any) -> None:
        """Shut down warmly: let the running tasks finish."""
        self._otel_call(super().stop, *args, **kwargs)

    def terminate(self, *args: Any, **kwargs: Any) -> None:
        """Shut down coldly: do not wait for the running tasks."""
        self._otel_call(super().terminate, *args, **kwargs)

    def _otel_start(self) -> None:
        self._otel_starts()
        super().start()

    def _otel_call(self, method: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Report the end when the last pending call returns from a terminated worker, or raises.

        ``stop`` may return in one thread while ``start`` is still in a task in another, as on the solo pool. ``stop``
        does not end a worker that has not begun: it may still be started.
        """
        with self._otel_lock:
            self._otel_busy += 1
        try:
            method(*args, **kwargs)
        except BaseException:
            self._otel_failed = True  # the worker does not recover from it
            raise
        finally:
            with self._otel_lock:
                self._otel_busy -= 1
                is_over = not self._otel_busy and (self._otel_failed or _is_terminated(self))
            if is_over:
                self._otel_over()


def observe_life(worker: Any, starts: Callable[[], None], over: Callable[[], None]) -> None:
    """Call ``starts`` as this worker starts, which it may never do, and ``over`` when it is over, perhaps repeatedly.

    Its pool forks after the one, and has drained before the other.
    """
    worker._otel_starts, worker._otel_over, worker._otel_lock = starts, over, threading.RLock()  # noqa: SLF001  ours
    base = type(worker)
    worker.__class__ = type(base.__name__, (ObservedController, base), {"__module__": base.__module__})


def _is_terminated(worker: Any) -> bool:
    return bool(getattr(getattr(worker, "blueprint", None), "state", None) == bootsteps.TERMINATE)
