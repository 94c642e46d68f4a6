"""One scheduler, watched: it ticks, sends entries, and waits for its broker.

The scheduler calls all methods, in its own thread. Each is guarded: beat neither stops nor does anything else because
of an error of ours.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from otel_celery.beat import due
from otel_celery.beat.entries import Entries, task_name
from otel_celery.lifecycle import OTHER, Where, guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.beat.pulse import Pulse
    from otel_celery.lifecycle import ErrorObserver
    from otel_celery.observers import BeatObserver


class Sending:
    """One entry that is being sent."""

    __slots__ = ("due_at", "entry", "is_told", "outer")

    def __init__(self, entry: Any, outer: Sending | None) -> None:
        """Begin, inside ``outer`` if that is being sent already."""
        self.entry = entry
        self.outer = outer
        self.due_at: float | None = None
        """When the entry was due, on the monotonic clock; None where that cannot be told."""
        self.is_told = False
        """Whether a call inside this one has told what became of the entry."""


class Watch:
    """Tells an observer what one scheduler sends, and keeps its pulse."""

    def __init__(self, observer: BeatObserver, errors: ErrorObserver, pulse: Pulse) -> None:
        """Begin before the first tick; ``errors`` counts exceptions of ours."""
        self.pulse = pulse
        self._observer = observer
        self._errors = errors
        self._entries = Entries(observer.expect)
        self._sending: Sending | None = None
        self._reserved: Any = None

    def tick_began(self) -> None:
        """Note that a tick began."""
        guarded(self._errors, Where.BEAT, self.pulse.began)

    def tick_ended(self, scheduler: Any, interval: object) -> None:
        """Note that a tick ended, after which beat sleeps for ``interval`` seconds."""
        self._reserved = None
        guarded(self._errors, Where.BEAT, self._tick_ended, scheduler, interval)

    def reserved(self, entry: Any) -> None:
        """Note the entry that is about to be sent, for which Celery may first have to reach the broker."""
        self._reserved = entry

    def send(self, entry: Any, send: Callable[[], Any]) -> Any:
        """Send an entry's task by ``send``, and count it.

        Celery's ``apply_entry`` calls ``apply_async``, and logs its exceptions instead of raising them. A scheduler may
        have only one of the two call Celery's. So both come here, and if one is called inside the other, the inner one
        tells what became of the task.
        """
        sending = self._sending = Sending(entry, self._sending)
        guarded(self._errors, Where.BEAT, self._find_due, sending)
        try:
            result = send()
        except Exception:
            self._end(sending, self._failed)
            raise
        except BaseException:  # beat is told to end
            self._sending = sending.outer
            raise
        self._end(sending, self._sent)
        return result

    def connects(self, connection: Any) -> None:
        """Have a new connection of the scheduler's report its attempts to reach the broker that fail."""
        guarded(self._errors, Where.BEAT, report_attempts, connection, self._refused)

    def _refused(self) -> None:
        """Note that the broker could not be reached, which costs the entry that waits for it an attempt."""
        guarded(self._errors, Where.BEAT, self._count_refused)

    def _tick_ended(self, scheduler: Any, interval: object) -> None:
        longest = getattr(scheduler, "max_interval", None)
        self.pulse.ended(longest, interval)
        self.pulse.counted(self._entries.count(scheduler))

    def _find_due(self, sending: Sending) -> None:
        outer = sending.outer
        if outer is not None and outer.entry is sending.entry:
            sending.due_at = outer.due_at
        elif (lag := due.lag(sending.entry)) is not None:
            sending.due_at = time.monotonic() - lag

    def _end(self, sending: Sending, tell: Callable[[Sending], None]) -> None:
        self._sending = sending.outer
        if sending.outer is not None:
            sending.outer.is_told = True
        if not sending.is_told:
            guarded(self._errors, Where.BEAT, self.pulse.sent)
            guarded(self._errors, Where.BEAT, tell, sending)

    def _sent(self, sending: Sending) -> None:
        lag = None if sending.due_at is None else time.monotonic() - sending.due_at
        self._observer.sent(task_name(sending.entry), lag)

    def _failed(self, sending: Sending) -> None:
        self._observer.failed(task_name(sending.entry))

    def _count_refused(self) -> None:
        self.pulse.refused()
        waiting = self._reserved if self._sending is None else self._sending.entry
        self._observer.failed(OTHER if waiting is None else task_name(waiting))


def report_attempts(connection: Any, refused: Callable[[], None]) -> None:
    """Call ``refused`` after each attempt to connect that fails, before the callback that Celery gives kombu."""
    ensure = connection.ensure_connection

    def ensure_connection(errback: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        def on_error(error: BaseException, interval: float) -> None:
            refused()
            if errback is not None:
                errback(error, interval)

        try:
            return ensure(on_error, *args, **kwargs)
        except Exception:  # at the last attempt, or one that nothing mends, such as a wrong password
            refused()
            raise

    connection.ensure_connection = ensure_connection
