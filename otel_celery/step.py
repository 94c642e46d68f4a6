"""The one bootstep: it tells when a worker's pool is about to start, and when it has.

It does nothing on stop, close or terminate: they run before the pool has drained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps

if TYPE_CHECKING:
    from collections.abc import Callable


def add_step(worker: Any, prepared: Callable[[], None], started: Callable[[], None]) -> None:
    """Have ``prepared`` called before this worker's pool forks, and ``started`` when it has.

    The step is added to a blueprint of the worker's own, and not to ``app.steps``: those are every worker's of the app,
    and a worker that comes to nothing would leave its step to the next one.
    """

    class OtelCelery(bootsteps.StartStopStep):
        name = "otel_celery"
        requires = ("celery.worker.components:Pool",)

        def create(self, parent: Any) -> None:
            """Say that the worker's parts stand, and none has been started."""
            del parent
            prepared()

        def start(self, parent: Any) -> None:
            """Have the port opened; only in a strict environment may that end the worker."""
            del parent
            started()

    base = worker.Blueprint
    worker.Blueprint = type(base.__name__, (base,), {"default_steps": {*base.default_steps, OtelCelery}})
