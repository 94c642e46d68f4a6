"""A mixin for Celery's Consumer that reports its connection, messages that are no task, and requests it drops.

``worker_consumer`` is Celery's setting for the consumer's class
(https://docs.celeryq.dev/en/stable/userguide/configuration.html#worker-consumer). :func:`observed_consumer` derives our
class from the configured one.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from otel_celery.lifecycle import Unknown, Where, guarded

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from celery.worker.consumer import Consumer as _Base

    from otel_celery.observers import WorkerObserver
else:
    _Base = object  # a mixin: its real base is the class that it is put before

TICK_SECONDS = 1.0


class ConsumerWatch(Protocol):
    """The interface that an observed consumer reports to."""

    observer: WorkerObserver

    def in_front(self) -> AbstractContextManager[None]:
        """Return a context in which each registered task's Request class is an observed one."""

    def ready(self) -> None:
        """Note that the consumer consumes."""

    def connected(self) -> None:
        """Note that the consumer has its broker connection."""

    def disconnected(self) -> None:
        """Note that the consumer lost its broker connection."""

    def limits_replaced(self, buckets: list[Any]) -> None:
        """Note that the consumer is about to replace these rate-limit buckets, in which requests may wait."""

    def ticked(self) -> None:
        """Note that the event loop turned."""

    def overdue(self) -> None:
        """Note that the event loop has not turned since the timer last asked it to."""

    def closing(self) -> Callable[[], None]:
        """Note the waiting requests; the caller calls the returned function once the consumer has dropped them."""


class ObservedConsumer(_Base):
    """Mixin before a Consumer class. Reports to ``_otel_watch``, which :func:`observed_consumer` sets."""

    _otel_watch: ConsumerWatch
    _otel_ticker: Any = None
    _otel_tick_due = False

    def connect(self) -> Any:
        """Report the connection once it is established."""
        connection = super().connect()
        self._otel_tell(self._otel_watch.connected)
        return connection

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Report the lost connection."""
        self._otel_tell(self._otel_watch.disconnected)
        super().on_connection_error_after_connected(exc)

    def update_strategies(self) -> None:
        """Have observed Request classes in place while Celery builds the strategy of each registered task."""
        with ExitStack() as stack:
            self._otel_tell(lambda: stack.enter_context(self._otel_watch.in_front()))
            super().update_strategies()

    def reset_rate_limits(self) -> None:
        """Report the rate-limit buckets that are replaced, for example when a remote-control command sets a limit."""
        self._otel_tell(lambda: self._otel_watch.limits_replaced(list(self.task_buckets.values())))
        super().reset_rate_limits()

    def on_ready(self) -> None:
        """Report that messages are consumed; Celery calls this after each connection."""
        super().on_ready()
        self._otel_tell(self._otel_watch.ready)
        self._otel_tell(self._otel_start_ticker)

    def on_close(self) -> None:
        """Report the requests that Celery drops here without a callback; the broker delivers them again."""
        closed: list[Callable[[], None]] = []
        self._otel_tell(lambda: closed.append(self._otel_watch.closing()))
        super().on_close()
        for settle in closed:
            self._otel_tell(settle)

    def on_unknown_task(self, *args: Any, **kwargs: Any) -> None:
        """Count a message for a task that is not registered."""
        self._otel_tell(self._otel_watch.observer.message_unknown, Unknown.UNKNOWN_TASK)
        super().on_unknown_task(*args, **kwargs)

    def on_unknown_message(self, *args: Any, **kwargs: Any) -> None:
        """Count a message that is not a task message."""
        self._otel_tell(self._otel_watch.observer.message_unknown, Unknown.INVALID)
        super().on_unknown_message(*args, **kwargs)

    def on_invalid_task(self, *args: Any, **kwargs: Any) -> None:
        """Count a task message that is malformed."""
        self._otel_tell(self._otel_watch.observer.message_unknown, Unknown.INVALID)
        super().on_invalid_task(*args, **kwargs)

    def on_decode_error(self, *args: Any, **kwargs: Any) -> None:
        """Count a message whose body cannot be decoded; Celery sends no signal for it."""
        self._otel_tell(self._otel_watch.observer.message_unknown, Unknown.UNDECODABLE)
        super().on_decode_error(*args, **kwargs)

    def _otel_tell(self, report: Callable[..., None], *args: Any) -> None:
        guarded(self._otel_watch.observer, Where.CONSUMER, report, *args)

    def _otel_start_ticker(self) -> None:
        """Start the repeating timer. Done for each connection, since some Celery versions clear their timer."""
        if self._otel_ticker is not None:
            self.timer.cancel(self._otel_ticker)
        self._otel_tick()
        self._otel_ticker = self.timer.call_repeatedly(TICK_SECONDS, self._otel_on_timer)

    def _otel_on_timer(self) -> None:
        """Tick from the event loop itself.

        Without a hub the timer runs in a thread of its own, so its calls do not prove that the loop turns.
        """
        if self.hub:
            self._otel_tick()
        elif not self._otel_tick_due:
            self._otel_tick_due = True
            self.call_soon(self._otel_tick)
        else:
            self._otel_tell(self._otel_watch.overdue)

    def _otel_tick(self) -> None:
        self._otel_tick_due = False
        self._otel_tell(self._otel_watch.ticked)


def observed_consumer(base: type, watch: ConsumerWatch) -> type:
    """Derive from a Consumer class one that reports to ``watch``."""
    return type(f"Observed{base.__name__}", (ObservedConsumer, base), {"_otel_watch": watch})
