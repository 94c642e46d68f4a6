"""Which queues are asked for: those of an app, or those that the operator names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.common import Broadcast

from otel_celery.queues.figures import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def named(names: Sequence[str], app: Any = None) -> Callable[[], Asked]:
    """Ask for these queues; those that the app has as well are known to exist."""
    return lambda: Asked(names, frozenset(_of_app(app)) if app is not None else ())


def of_app(app: Any) -> Callable[[], Asked]:
    """Ask for every queue of an app: those it declares, and those that its routes and its tasks name."""

    def asked() -> Asked:
        names = list(dict.fromkeys(_of_app(app)))
        return Asked(names, frozenset(names))

    return asked


def _of_app(app: Any) -> Iterator[str]:
    for queue in list(app.amqp.queues.values()):
        if not isinstance(queue, Broadcast):  # each worker has one of its own, under a name that is new each time
            yield str(queue.name)
    for route in _routes(app.conf.task_routes):
        queue = route.get("queue") if isinstance(route, dict) else route
        if queue is not None:
            yield str(getattr(queue, "name", queue))
    for task in list(app.tasks.values()):
        queue = getattr(task, "queue", None)
        if queue is not None:
            yield str(getattr(queue, "name", queue))


def _routes(routes: Any) -> Iterator[Any]:
    """List the targets of routes that are written down; those that a function chooses cannot be listed."""
    for each in routes if isinstance(routes, (list, tuple)) else (routes,):
        if isinstance(each, dict):
            yield from each.values()
        elif isinstance(each, (list, tuple)):  # pairs of a pattern and its target
            yield from (target for _, target in each)
