"""One connection to a broker, which is nobody else's: opened when it is needed, and closed after any error of it.

A database has a new one for each refresh.

Every wait on it has a limit, as far as its transport takes one: a broker that hangs must not hold a thread for ever.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from otel_celery import forks
from otel_celery.queues.amqp import AmqpAsker
from otel_celery.queues.redis import RedisAsker
from otel_celery.queues.virtual import VirtualAsker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_celery.queues.figures import Answer, Asked, Asker, Trouble
    from otel_celery.queues.management import Management

    Make = Callable[..., Any]
    """Makes a kombu Connection, with these arguments besides its own."""


class Broker:
    """A broker to be asked, by one thread."""

    def __init__(self, make: Make, timeout: float, management: Management | None, trouble: Trouble) -> None:
        """``timeout`` is the limit of each wait in seconds; ``trouble`` hears of what fails beside the broker."""
        self._make = make
        self._timeout = timeout
        self._management = management
        self._trouble = trouble
        self._connection: Any = None
        self._amqp: Any = None
        """py-amqp's connection, from before it has a socket."""
        self._asker: Asker | None = None

    def ask(self, asked: Asked, until: float) -> Iterator[tuple[str, Answer]]:
        """Yield each queue's answer, and stop at ``until`` on the monotonic clock.

        Raises whatever its library raises, if the broker is away; the connection is closed then.
        """
        try:
            if self._asker is None:
                self._asker = self._opened()
            yield from self._asker.ask(asked, until)
            if isinstance(self._asker, VirtualAsker) and self._asker.asks_once:
                self.close()
        except GeneratorExit:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        connection, self._connection, self._amqp, self._asker = self._connection, None, None, None
        forks.gate().forget(self)
        if connection is not None:
            with contextlib.suppress(Exception):  # it may be broken, which is why it is closed
                connection.release()

    def abandon(self) -> None:
        """Close a forked child's copy of the connection's socket, without a word to the broker.

        The fork may have come while the connection was being opened: kombu knows it only once it is open.
        """
        sock = getattr(getattr(self._amqp, "transport", None), "sock", None)
        if sock is not None:
            forks.abandon(sock)

    def _opened(self) -> Asker:
        driver, options = _kind(self._make())
        self._connection = self._make(
            connect_timeout=self._timeout, heartbeat=0, transport_options=limits(driver, self._timeout, options)
        )
        if driver == "amqp":
            self._connection.create_transport = self._remembering(self._connection.create_transport)
        forks.gate().watch(self)
        tries = max(1, len(self._connection.alt or ()))
        self._connection.ensure_connection(
            max_retries=tries, interval_start=0, interval_step=0, reraise_as_library_errors=False
        )
        if driver == "amqp":
            return AmqpAsker(self._connection, self._management, self._trouble)
        channel = self._connection.channel()
        return (
            RedisAsker(channel, self._trouble)
            if driver == "redis"
            else VirtualAsker(self._connection, channel, self._timeout)
        )

    def _remembering(self, create: Callable[[], Any]) -> Callable[[], Any]:
        """Make kombu's transports, each of which has one of several URLs, so that their connection is known here."""

        def transport() -> Any:
            made = create()
            connect = made.Connection

            def connection(*args: Any, **given: Any) -> Any:
                self._amqp = connect(*args, **given)
                return self._amqp

            made.Connection = connection
            return made

        return transport


def _kind(connection: Any) -> tuple[str, Mapping[str, Any]]:
    """Return what a connection that is not opened says of its driver, and the transport options it was given."""
    return str(connection.get_transport_cls().driver_type), connection.transport_options or {}


def limits(driver: str, seconds: float, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the transport options that limit each wait, besides those that the application has."""
    if driver == "amqp":
        return {"read_timeout": seconds, "write_timeout": seconds}
    if driver == "redis":
        return {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry_on_timeout": False}
    if driver == "sqs":
        waits = {"connect_timeout": seconds, "read_timeout": seconds, "retries": {"total_max_attempts": 1}}
        return {"client-config": {**(options.get("client-config") or {}), **waits}}
    if driver == "kafka":
        return {"wait_time_seconds": seconds}
    return {}
