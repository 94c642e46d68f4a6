"""Name the queue that a message is published to, by the options of ``send_task_message``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_celery.bindings import bound, label
from otel_celery.lifecycle import OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_KNOWN = 1_000
"""Cached pairs of exchange and routing key at most: publishers choose the routing keys."""


class Routes:
    """The queues of one app."""

    def __init__(self, amqp: Any) -> None:
        """Look queues up in this AMQP object."""
        self._amqp = amqp
        self._known: dict[tuple[str, str], str] = {}

    def queue_of(self, options: Mapping[str, Any]) -> str:
        """Return the label of the queue; ``other`` if an exchange would route the message to none, or to several.

        Celery's router always names a queue, and an exchange with a routing key wins over it.
        """
        exchange, routing_key = options.get("exchange"), options.get("routing_key")
        if exchange and routing_key:
            return self._bound(getattr(exchange, "name", exchange), routing_key)
        queue = options.get("queue")
        return label(self._amqp.default_queue) if queue is None else self._named(queue)

    def _named(self, queue: Any) -> str:
        if isinstance(queue, str):  # a name; the app may have a Broadcast queue of it, which goes by its alias
            queue = self._amqp.queues.get(queue, queue)
        return queue if isinstance(queue, str) else label(queue)

    def _bound(self, exchange: Any, routing_key: Any) -> str:
        if type(exchange) is not str or type(routing_key) is not str:
            return OTHER
        found = self._known.get((exchange, routing_key))
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            queues = [(label(queue), queue) for queue in list(self._amqp.queues.values())]
            found = self._known[exchange, routing_key] = bound(queues, exchange, routing_key)
        return found
