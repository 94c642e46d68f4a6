"""Find the tasks that this worker may receive, and the queue of each.

Their counters start at zero, so that a first failure shows in ``increase()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Queue

from otel_celery.observe import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def expected(app: Any, consumed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and queue label of each registered task whose route leads to a consumed queue.

    Celery's own ``celery.*`` tasks are left out, and tasks whose route cannot be determined.
    """
    labels = {queue.name: label for label, queue in consumed.items()}
    router = app.amqp.Router(queues=_Throwaway({**app.amqp.queues, **app.amqp.queues.aliases}))
    tasks = {plain.text(name): task for name, task in list(app.tasks.items())}
    for name in sorted(name for name in tasks if name is not None and not name.startswith("celery.")):
        task = tasks[name]
        queue = _destination(router, task)
        if queue is not None and queue.name in labels:
            yield name, labels[queue.name]


class _Throwaway(dict[str, Queue]):
    """Maps each name to the app's queue, or else to a temporary one.

    Routing through the app's own mapping would add unknown queues to it, and Celery 5.6 would then consume them.
    """

    def __missing__(self, name: str) -> Queue:
        return Queue(name)


def _destination(router: Any, task: Any) -> Queue | None:
    """Route one task as its publisher would. A user's router may raise for a call without arguments."""
    try:
        own = {option: getattr(task, option, None) for option in ("queue", "exchange", "routing_key")}
        route = router.route({k: v for k, v in own.items() if v}, task.name, (), {}, task)
    except Exception:  # noqa: BLE001  a user's router; only this task's counters do not start at zero
        return None
    queue = route.get("queue")
    return queue if isinstance(queue, Queue) else None
