"""Ask any other transport by kombu's own interface, which knows a length and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from otel_celery.queues.figures import Figures, UntoldError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.queues.figures import Answer, Asked

NOT_FOUND = "404"

ONLY_TO_CONSUMERS = frozenset({"kafka", "confluentkafka"})
"""Drivers whose length is that of the asking process's own consumers: 0 for everybody else."""

IN_ONE_TRANSACTION = frozenset({"sql"})
"""Drivers whose channel goes on reading in its first transaction, which may show an old number for ever."""


class VirtualAsker:
    """Asks over one channel of a virtual transport."""

    def __init__(self, connection: Any, channel: Any) -> None:
        """Use this channel, on which nothing is consumed."""
        self._connection = connection
        self._channel = channel

    @property
    def asks_once(self) -> bool:
        """Whether the next refresh needs another connection."""
        return self._connection.transport.driver_type in IN_ONE_TRANSACTION

    def ask(self, asked: Asked, until: float) -> Iterator[tuple[str, Answer]]:
        """Yield each queue's answer; an exception of the transport, whatever it is, is that queue's alone."""
        for name in asked.names:
            if time.monotonic() >= until:
                return
            try:
                answer: Answer = self._declared(name)
            except Exception as error:  # noqa: BLE001  a transport raises what its library raises
                answer = None if str(getattr(error, "reply_code", "")) == NOT_FOUND else error
            yield name, answer

    def _declared(self, name: str) -> Figures:
        driver = self._connection.transport.driver_type
        if driver in ONLY_TO_CONSUMERS:
            raise UntoldError(f"a broker of the kind {driver} tells the length of a queue to its consumers only")
        length = int(self._channel.queue_declare(queue=name, passive=True).message_count)
        if length < 0:
            raise UntoldError(f"a broker of the kind {driver} does not tell the length of this queue")
        return Figures(length)
