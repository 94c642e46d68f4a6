"""A bootstep that reports two moments: a worker's pool is about to start, and it has started.

It does nothing on stop, close or terminate: they run before the pool has drained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps

if TYPE_CHECKING:
    from collections.abc import Callable


def add_step(worker: Any, prepared: Callable[[], None], started: Callable[[], None]) -> None:
    """Call ``prepared`` before this worker's pool forks, and ``started`` once it has forked.

    The step is added to a blueprint of this worker alone. The steps in ``app.steps`` belong to every worker of the app,
    and a worker that failed to start would leave its step there for the next one.
    """

    class OtelCelery(bootsteps.StartStopStep):
        name = "otel_celery"
        requires = ("celery.worker.components:Pool",)

        def create(self, parent: Any) -> None:
            """Report that the worker's components are made, and none has been started."""
            del parent
            prepared()

        def start(self, parent: Any) -> None:
            """Report that the pool has started; in a strict environment this may end the worker."""
            del parent
            started()

    base = worker.Blueprint
    worker.Blueprint = type(base.__name__, (base,), {"default_steps": {*base.default_steps, OtelCelery}})
