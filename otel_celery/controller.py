"""Celery's WorkController, telling two moments that no signal tells: its logging is set up, and it is over.

``worker_shutdown`` is sent by a warm stop alone: a cold one, ``WorkController.terminate()`` and so every worker of
``celery.contrib.testing`` end without it. No bootstep tells either: those are stopped before the pool has drained, and
not at all where one of them could not be started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps

if TYPE_CHECKING:
    from collections.abc import Callable


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


class ObservedController:
    """Stands in front of a worker's class; ``_otel_over`` is called when the worker is over, perhaps more than once."""

    _otel_over: Callable[[], None]

    def start(self) -> None:
        """Work; Celery itself stops or terminates the worker on all exceptions but the most unusual ones."""
        self._otel_end_with(super().start)  # type: ignore[misc]

    def stop(self, *args: Any, **kwargs: Any) -> None:
        """End warmly, after the tasks that run."""
        self._otel_end_with(super().stop, *args, **kwargs)  # type: ignore[misc]

    def terminate(self, *args: Any, **kwargs: Any) -> None:
        """End coldly."""
        self._otel_end_with(super().terminate, *args, **kwargs)  # type: ignore[misc]

    def _otel_end_with(self, method: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Tell of the end, unless another thread is still at it, or the worker has not even begun."""
        try:
            method(*args, **kwargs)
        except BaseException:
            self._otel_over()  # nobody goes on from here
            raise
        if getattr(getattr(self, "blueprint", None), "state", None) == bootsteps.TERMINATE:
            self._otel_over()


def observe_end(worker: Any, over: Callable[[], None]) -> None:
    """Have ``over`` called when this worker is over, after its pool has drained."""
    worker._otel_over = over  # noqa: SLF001  ours
    base = type(worker)
    worker.__class__ = type(base.__name__, (ObservedController, base), {"__module__": base.__module__})
