"""Celery's Consumer, telling of its connection, of messages that never became a task, and of requests it drops.

``worker_consumer`` is Celery's setting for the consumer's class
(https://docs.celeryq.dev/en/stable/userguide/configuration.html#worker-consumer); :func:`observed_consumer` puts a
class in front of whatever stands there.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from otel_celery.lifecycle import Unknown, Where, guarded

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from celery.worker.consumer import Consumer as _Base

    from otel_celery.lifecycle import WorkerObserver
else:
    _Base = object  # these classes stand in front of whatever is there

TICK_SECONDS = 1.0


class ConsumerWatch(Protocol):
    """What an observed consumer needs of its surroundings."""

    observer: WorkerObserver

    def in_front(self) -> AbstractContextManager[None]:
        """Have every registered task's Request be an observed one, while the consumer asks for them."""

    def ready(self) -> None:
        """Note that the consumer consumes."""

    def connected(self) -> None:
        """Note that the consumer has its broker connection."""

    def disconnected(self) -> None:
        """Note that the consumer lost its broker connection."""

    def limits_replaced(self, buckets: list[Any]) -> None:
        """Note that these buckets of rate limits are about to be replaced, whatever waits in them."""

    def ticked(self) -> None:
        """Note that the event loop turned."""

    def overdue(self) -> None:
        """Note that the event loop has not turned since the timer last asked it to."""

    def closing(self) -> Callable[[], None]:
        """Note which requests wait; what is returned is called once the consumer has let go of them."""


class ObservedConsumer(_Base):
    """Stands in front of a Consumer class; reports to ``_otel_watch``, which :func:`observed_consumer` sets."""

    _otel_watch: ConsumerWatch
    _otel_ticker: Any = None
    _otel_tick_due = False

    def connect(self) -> Any:
        """Tell of the connection, once it stands."""
        connection = super().connect()
        self._otel_tell(self._otel_watch.connected)
        return connection

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Tell of the lost connection."""
        self._otel_tell(self._otel_watch.disconnected)
        super().on_connection_error_after_connected(exc)

    def update_strategies(self) -> None:
        """Observe the tasks registered by now; Celery builds each one's request class here."""
        with ExitStack() as stack:
            self._otel_tell(lambda: stack.enter_context(self._otel_watch.in_front()))
            super().update_strategies()

    def reset_rate_limits(self) -> None:
        """Tell of the buckets in which requests wait: a new limit, by remote control say, has new ones."""
        self._otel_tell(lambda: self._otel_watch.limits_replaced(list(self.task_buckets.values())))
        super().reset_rate_limits()

    def on_ready(self) -> None:
        """Tell that messages are consumed from now on; called each time the connection is made."""
        super().on_ready()
        self._otel_tell(self._otel_watch.ready)
        self._otel_tell(self._otel_start_ticker)

    def on_close(self) -> None:
        """Tell of the requests that Celery forgets here without a callback; the broker delivers them again."""
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
        """Count a message that is no task message."""
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
        """Tick with the worker's timer; begun anew with each connection, since some versions clear the timer."""
        if self._otel_ticker is not None:
            self.timer.cancel(self._otel_ticker)
        self._otel_tick()
        self._otel_ticker = self.timer.call_repeatedly(TICK_SECONDS, self._otel_on_timer)

    def _otel_on_timer(self) -> None:
        """Have the loop itself tick: without a hub the timer has a thread of its own, which proves nothing."""
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
    """Make of a Consumer class one that reports to ``watch``."""
    return type(f"Observed{base.__name__}", (ObservedConsumer, base), {"_otel_watch": watch})
