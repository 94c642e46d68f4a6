"""The one bootstep: it tells when a worker's pool is about to start, and when it has.

It does nothing on stop, close or terminate: they run before the pool has drained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps

if TYPE_CHECKING:
    from collections.abc import Callable


def pool_step(prepared: Callable[[], None], started: Callable[[], None]) -> type[bootsteps.StartStopStep]:
    """Make a step that calls ``prepared`` before the pool forks, and ``started`` when it has; one for each worker."""

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

    return OtelCelery
