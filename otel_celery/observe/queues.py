"""List the queues that a worker consumes, and find the one that a message came from, for the ``queue`` label.

In general a message does not name its queue. On the nameless exchange its routing key is the queue's name. On AMQP its
consumer tag can be looked up. Otherwise the queues' bindings decide, if exactly one matches.
"""

from __future__ import annotations

from typing import Any

from otel_celery.bindings import bound, label
from otel_celery.lifecycle import OTHER


class QueueNames:
    """Names the queues of one worker."""

    def __init__(self, worker: Any) -> None:
        """Keep the worker; its consumer may be replaced."""
        self._worker = worker
        self._last: list[Any] | None = None

    def consumed(self) -> dict[str, Any]:
        """Map the label of each queue that this worker consumes to kombu's Queue.

        The queues are those of kombu's consumer, since Celery's app misses some commands to add or cancel one. While
        the connection is being re-established there is no consumer, and its last queues are used. Before the first
        consumer they are the app's. May be called from any thread: the dictionaries are copied in one step of the
        interpreter.
        """
        consumer = getattr(self._worker.consumer, "task_consumer", None)
        if consumer is not None:
            self._last = list(consumer.queues)
        queues = self._last
        if queues is None:
            queues = list(self._worker.app.amqp.queues.consume_from.values())
        return {label(queue): queue for queue in queues}

    def of(self, exchange: str | None, routing_key: str | None, consumer_tag: str | None) -> str:
        """Return the label of the queue that a message with this delivery information came from, or ``other``."""
        if not exchange:
            return self._alias(routing_key) if routing_key else OTHER
        name = self._by_tag(consumer_tag) if consumer_tag else None
        if name is not None:
            return self._alias(name)
        return bound(self.consumed().items(), exchange, routing_key or "")

    def _alias(self, name: str) -> str:
        queue = next((queue for queue in self.consumed().values() if queue.name == name), None)
        return name if queue is None else label(queue)

    def _by_tag(self, consumer_tag: str) -> str | None:
        """Look up a consumer tag in kombu's consumer; tags change with each connection."""
        tags = getattr(getattr(self._worker.consumer, "task_consumer", None), "_active_tags", None) or {}
        return next((name for name, tag in list(tags.items()) if tag == consumer_tag), None)
