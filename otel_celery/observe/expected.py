"""Which tasks this worker will see, and on which queue: what counters are initialised for before the first failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import Queue

from otel_celery.observe import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def expected(app: Any, consumed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and queue label of each registered task whose route leads to a queue that is consumed.

    Celery's own ``celery.*`` tasks are left out, and a task whose route cannot be told.
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
    """Gives an existing queue, or one made for the asking.

    Routing through the app's own queues would add the unknown ones, and Celery 5.6 would then consume them.
    """

    def __missing__(self, name: str) -> Queue:
        return Queue(name)


def _destination(router: Any, task: Any) -> Queue | None:
    """Route one task as its publisher would; a user's router may raise at a call without arguments."""
    try:
        own = {option: getattr(task, option, None) for option in ("queue", "exchange", "routing_key")}
        route = router.route({k: v for k, v in own.items() if v}, task.name, (), {}, task)
    except Exception:  # noqa: BLE001  it is the user's code, and only costs the zeros of one task
        return None
    queue = route.get("queue")
    return queue if isinstance(queue, Queue) else None
