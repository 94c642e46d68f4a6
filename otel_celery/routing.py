"""Tell to which queue an app routes a task, as its publisher would."""

from __future__ import annotations

from typing import Any

from kombu import Queue


class Routing:
    """The routes of one app, asked without a message."""

    def __init__(self, app: Any) -> None:
        """Make a router of the app's queues and its ``task_routes``."""
        self._router = app.amqp.Router(queues=_Throwaway({**app.amqp.queues, **app.amqp.queues.aliases}))

    def queue_of(self, task: Any) -> Queue | None:
        """Return the queue of one task's messages; None if a user's router raises for a call without arguments."""
        try:
            own = {option: getattr(task, option, None) for option in ("queue", "exchange", "routing_key")}
            route = self._router.route({k: v for k, v in own.items() if v}, task.name, (), {}, task)
        except Exception:  # noqa: BLE001  a user's router: whoever asks does without the answer
            return None
        queue = route.get("queue")
        return queue if isinstance(queue, Queue) else None


class _Throwaway(dict[str, Queue]):
    """Maps each name to the app's queue, or else to a temporary one.

    Routing through the app's own mapping would add unknown queues to it, and Celery 5.6 would then consume them.
    """

    def __missing__(self, name: str) -> Queue:
        return Queue(name)
