"""Ask any other transport by kombu's own interface, which knows a length and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from otel_celery.queues.figures import Figures, UntoldError
from otel_celery.queues.harmless import WAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.queues.figures import Answer, Asked

NOT_FOUND = "404"

IN_ONE_TRANSACTION = frozenset({"sql"})
"""Drivers whose channel goes on reading in its first transaction, which may show an old number for ever."""


class VirtualAsker:
    """Asks over one channel of a virtual transport."""

    def __init__(self, connection: Any, channel: Any, timeout: float) -> None:
        """Use this channel, on which nothing is consumed; ``timeout`` is the limit of a wait, where it can be given."""
        self._connection = connection
        self._channel = channel
        self._timeout = timeout

    @property
    def asks_once(self) -> bool:
        """Whether the next refresh needs another connection."""
        return self._connection.transport.driver_type in IN_ONE_TRANSACTION

    def ask(self, asked: Asked, until: float) -> Iterator[tuple[str, Answer]]:
        """Yield each queue's answer; an exception of the transport, whatever it is, is that queue's alone."""
        driver = str(self._connection.transport.driver_type)
        way = WAYS.get(driver)
        for name in asked.names:
            if time.monotonic() >= until:
                return
            try:
                answer: Answer = way(self._channel, name, self._timeout) if way else self._declared(driver, name)
            except Exception as error:  # noqa: BLE001  a transport raises what its library raises
                answer = None if str(getattr(error, "reply_code", "")) == NOT_FOUND else error
            yield name, answer

    def _declared(self, driver: str, name: str) -> Figures:
        length = int(self._channel.queue_declare(queue=name, passive=True).message_count)
        if length < 0:
            raise UntoldError(f"a broker of the kind {driver} does not tell the length of this queue")
        return Figures(length)
