"""Ask a broker that speaks AMQP: a passive declaration tells what is ready, and how many consume.

A question about a queue that does not exist, or is somebody's alone, closes its channel, which py-amqp opens again.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from otel_celery.queues.figures import MAX_FOUND, Figures, is_lasting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_celery.queues.figures import Answer, Asked, Trouble
    from otel_celery.queues.management import Management

NOT_FOUND = 404


class AmqpAsker:
    """Asks over channels of one of kombu's connections, and the management API where there is one."""

    def __init__(self, connection: Any, management: Management | None, trouble: Trouble) -> None:
        """Use this connection, on which nothing is consumed; ``trouble`` hears of a management API that fails."""
        self._connection = connection
        self._management = management
        self._trouble = trouble
        self._channel: Any = None

    def ask(self, asked: Asked, until: float) -> Iterator[tuple[str, Answer]]:
        """Yield each queue's answer."""
        told = self._told()
        for name in asked.names:
            if time.monotonic() >= until:
                return
            answer = self._declared(name)
            further = told.get(name)
            if isinstance(answer, Figures) and further is not None:
                answer = Figures(
                    answer.length, answer.consumers, further.unacked, further.age if answer.length else None
                )
            yield name, answer
        if asked.others:
            others = (name for name in told.keys() - set(asked.names) if is_lasting(name))
            yield from ((name, told[name]) for name in islice(sorted(others), MAX_FOUND))

    def _told(self) -> Mapping[str, Figures]:
        if self._management is None:
            return {}
        try:
            return self._management.queues(str(self._connection.virtual_host or "/"))
        except Exception as error:  # noqa: BLE001  what AMQP tells is shown without it
            self._trouble("the management API", error)
            return {}

    def _declared(self, name: str) -> Answer:
        if self._channel is None:
            self._channel = self._connection.channel()
        try:
            declared = self._channel.queue_declare(queue=name, passive=True)
        except self._connection.channel_errors as error:
            if not self._channel.is_open:  # py-amqp has opened it again, and a second one would be kept beside it
                self._channel = None
            return None if getattr(error, "reply_code", None) == NOT_FOUND else error
        return Figures(int(declared.message_count), int(declared.consumer_count))
