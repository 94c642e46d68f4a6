"""Celery's Request, reporting its life once.

The worker's main process sees every task's whole life through its Request, on every pool and with events off.
``app.Task.Request`` is Celery's documented extension point
(https://docs.celeryq.dev/en/stable/userguide/tasks.html#requests-and-custom-requests); :func:`observed` puts a
class in front of whatever stands there, so that a user's own Request stays in the MRO and hears everything as before.

One end fires several callbacks, in an order that differs by pool and version, so the first outcome is latched on
the request itself. Never key any of this by task id: a retry is delivered again, under the same id, before its
first run has reported Retry.
"""

from __future__ import annotations

import functools
import time
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry

from otel_celery.lifecycle import Limit, Outcome, Revocation, Where, guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.lifecycle import TaskObserver, WorkerObserver

_LATCH = RLock()
"""Makes "the first outcome wins" true across the pool's threads. Reentrant, since a cold shutdown cancels requests
from inside the OS signal handler, on whatever line the main thread happens to be."""

_LOST = (WorkerLostError, SystemExit, KeyboardInterrupt)
"""The child is gone; Celery decides what that means while it handles the failure."""

_VERDICTS = {"task-succeeded": Outcome.SUCCESS, "task-retried": Outcome.RETRY}
"""What Celery announces when a lost child's task was not a failure after all (5.7: its SUCCESS was already stored,
or ``retry_on_worker_lost``)."""


class RequestWatch(Protocol):
    """What an observed request needs of its surroundings."""

    observer: WorkerObserver

    def books_of(self, request: Observed) -> TaskObserver | None:
        """Find the books that this new request belongs to; None leaves it unobserved."""

    def hold(self, request: Observed) -> None:
        """Remember a request with an ETA until it is let go: nothing else refers to it while it waits."""

    def let_go(self, request: Observed) -> None:
        """Forget a request that was held."""

    def process_timed_out(self, pid: int | None) -> None:
        """Note that the child with this process id is being killed for its hard time limit."""


class Observed:
    """Stands in front of a Request class; reports to ``_otel_watch``, which :func:`observed` sets."""

    _otel_watch: RequestWatch
    _otel_books: TaskObserver | None = None
    _otel_runnable_at: float = 0.0
    _otel_accepted_at: float | None = None
    _otel_outcome: Outcome | None = None
    _otel_stopping: Outcome | None = None
    """What a green thread's death means, where this worker asked for it: it ends as if it had returned None."""
    _otel_verdict: Outcome | None = None
    """Set while Celery decides what the loss of a child means."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Report from the final class's ``on_success`` too.

        ``create_request_cls`` defines one in the class it makes of this one, and never calls super.
        """
        super().__init_subclass__(**kwargs)
        if "on_success" in cls.__dict__:  # not an inherited one, or it would report twice
            cls.on_success = _reporting(cls.on_success)  # type: ignore[attr-defined]

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        """Note the request as received, once Celery has accepted the message as well-formed."""
        super().__init__(message, *args, **kwargs)  # type: ignore[call-arg]
        guarded(self._otel_watch.observer, Where.REQUEST, _received, self)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note the request as started."""
        if self._otel_books is not None:
            guarded(self._otel_watch.observer, Where.REQUEST, _started, self, time_accepted)
        super().on_accepted(pid, time_accepted)  # type: ignore[misc]

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> None:
        """Note how the request failed, before Celery handles it: on MemoryError, handling raises."""
        exception = _unwrapped(exc_info.exception)
        if isinstance(exception, _LOST):
            return self._otel_on_lost(exc_info, *args, **kwargs)
        if not isinstance(exception, Terminated):  # of that Celery tells in _announce_revoked, or has already told
            _end(self, _outcome_of(exception), exception=_name_of(exception))
        return super().on_failure(exc_info, *args, **kwargs)  # type: ignore[misc, no-any-return]

    def _otel_on_lost(self, *args: Any, **kwargs: Any) -> None:
        """Let Celery decide what the loss of the child means, then note its verdict."""
        self._otel_verdict = Outcome.FAILURE
        try:
            super().on_failure(*args, **kwargs)  # type: ignore[misc]
        finally:
            verdict, self._otel_verdict = self._otel_verdict, None
            # Celery makes a WorkerLostError of the others too; which arrives is a race between pipe and process.
            _end(self, verdict, exception=WorkerLostError.__name__)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001  Celery's signature, called by keyword
        """Note the time limit; on gevent a hard one is all that tells of the end."""
        guarded(self._otel_watch.observer, Where.REQUEST, _timed_out, self, Limit.SOFT if soft else Limit.HARD)
        if not soft:
            _end(self, Outcome.FAILURE, exception=TimeLimitExceeded.__name__)
        super().on_timeout(soft=soft, timeout=timeout)  # type: ignore[misc]

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  Celery's signature
        """Note a rejection, unless it only gives the message of an ended task back."""
        _end(self, Outcome.REJECTED)
        super().reject(requeue=requeue)  # type: ignore[misc]

    def terminate(self, *args: Any, **kwargs: Any) -> None:
        """Remember that the run is being killed because the task was revoked."""
        self._otel_stopping = Outcome.REVOKED
        super().terminate(*args, **kwargs)  # type: ignore[misc]

    def cancel(self, *args: Any, **kwargs: Any) -> None:
        """Remember that the run is being killed because its worker cannot finish it."""
        self._otel_stopping = _cancelled(self)
        super().cancel(*args, **kwargs)  # type: ignore[misc]

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  Celery's signature
        """Hear Celery's verdict on a task whose child was lost."""
        if self._otel_verdict is not None:
            self._otel_verdict = _VERDICTS.get(type, self._otel_verdict)
        super().send_event(type, **fields)  # type: ignore[misc]

    def _announce_revoked(self, reason: str, *args: Any, **kwargs: Any) -> None:
        _end(self, Outcome.REVOKED, revocation=reason)
        super()._announce_revoked(reason, *args, **kwargs)  # type: ignore[misc]

    def _announce_cancelled(self, *args: Any, **kwargs: Any) -> None:
        _end(self, _cancelled(self))
        super()._announce_cancelled(*args, **kwargs)  # type: ignore[misc]


def observed(base: type, watch: RequestWatch) -> type:
    """Make of a Request class one that reports to ``watch``; a class that already does is returned as it is."""
    if issubclass(base, Observed):
        return base
    return type(f"Observed{base.__name__}", (Observed, base), {"__slots__": (), "_otel_watch": watch})


def is_observed(request: Any) -> bool:
    """Tell whether a request reports its life: one that was received while nobody watched does not."""
    return getattr(request, "_otel_books", None) is not None


def is_active(request: Any) -> bool:
    """Tell whether a request that Celery counts as active is still running.

    Celery never hears of the end of some: SystemExit on a pool of threads leaves the request active for ever.
    """
    return getattr(request, "_otel_outcome", None) is None


def is_waiting(request: Observed) -> bool:
    """Tell whether a request has neither started nor ended."""
    return request._otel_accepted_at is None and request._otel_outcome is None


def accepted_at(request: Any) -> float | None:
    """Tell when the pool accepted a request, on the monotonic clock; None if it is not observed."""
    return getattr(request, "_otel_accepted_at", None)


def returned(request: Observed) -> None:
    """Note a request as given back un-run."""
    _end(request, Outcome.RETURNED)


def _reporting(on_success: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(on_success)
    def reporting(self: Observed, result: Any, **kwargs: Any) -> Any:
        if self._otel_books is not None:
            guarded(self._otel_watch.observer, Where.REQUEST, _came_back, self, result)
        return on_success(self, result, **kwargs)

    return reporting


def _received(request: Any) -> None:
    books = request._otel_watch.books_of(request)
    if books is None:
        return
    request._otel_books = books
    request._otel_runnable_at = time.monotonic()
    books.received(redelivered=bool(request.delivery_info["redelivered"]))
    if request.eta is not None:
        request._otel_watch.hold(request)
        request._otel_runnable_at += max(0.0, request.eta.timestamp() - time.time())


def _started(request: Any, time_accepted: float) -> None:
    with _LATCH:
        if request._otel_outcome is not None:
            return  # given back: Celery's broker will deliver it anew, and that run is the one that counts
        request._otel_accepted_at = time_accepted
    if request.eta is not None:
        request._otel_watch.let_go(request)
    request._otel_books.started(max(0.0, time_accepted - request._otel_runnable_at))


def _came_back(request: Observed, result: Any) -> None:
    """Read what the pool handed to ``on_success``."""
    if not isinstance(result, tuple):
        # SystemExit or KeyboardInterrupt on threads, gevent and eventlet: an ExceptionInfo, on which Celery trips.
        _end(request, Outcome.FAILURE, exception=WorkerLostError.__name__)
        return
    failed, value, runtime = result
    if not failed:
        killed = runtime is None and request._otel_stopping is not None
        _end(request, (request._otel_stopping if killed else None) or Outcome.SUCCESS, runtime=runtime)
    elif isinstance(_unwrapped(value.exception), (SystemExit, KeyboardInterrupt)):
        _end(request, Outcome.FAILURE, exception=WorkerLostError.__name__)  # Celery raises it instead of on_failure


def _timed_out(request: Any, limit: Limit) -> None:
    if request._otel_books is not None:
        request._otel_books.timed_out(limit)
    if limit is Limit.HARD:
        request._otel_watch.process_timed_out(request.worker_pid)


def _end(
    request: Any,
    outcome: Outcome,
    *,
    runtime: float | None = None,
    exception: str | None = None,
    revocation: str = Revocation.TERMINATED.value,
) -> None:
    """Latch the first outcome and report it; everything after that is ignored."""
    if request._otel_books is None or request._otel_verdict is not None:
        return
    with _LATCH:
        if request._otel_outcome is not None:
            return
        request._otel_outcome = outcome
    guarded(request._otel_watch.observer, Where.REQUEST, _report_end, request, runtime, exception, revocation)


def _report_end(request: Any, runtime: float | None, exception: str | None, revocation: str) -> None:
    books, outcome, accepted = request._otel_books, request._otel_outcome, request._otel_accepted_at
    duration = None if accepted is None else max(0.0, time.monotonic() - accepted)
    books.ended(outcome, duration, runtime)
    if request.eta is not None:
        request._otel_watch.let_go(request)
    if outcome is Outcome.FAILURE:
        books.raised(exception or "")
    elif outcome is Outcome.REVOKED:
        books.revoked(Revocation(revocation))


def _cancelled(request: Any) -> Outcome:
    """Tell what a cancelled run is: acked late, its message is delivered again; else Celery records a retry."""
    return Outcome.RETURNED if request.task.acks_late and not request.acknowledged else Outcome.RETRY


def _outcome_of(exception: BaseException) -> Outcome:
    if isinstance(exception, Reject):
        return Outcome.REJECTED
    if isinstance(exception, Retry):
        return Outcome.RETRY
    return Outcome.IGNORED if isinstance(exception, Ignore) else Outcome.FAILURE


def _unwrapped(exception: BaseException) -> BaseException:
    """Take off billiard's wrapping, and no other: Retry has an ``exc`` of its own."""
    return exception.exc if isinstance(exception, ExceptionWithTraceback) else exception


def _name_of(exception: BaseException) -> str:
    """Name an exception's class, also where it could not be pickled and arrived in a wrapper that knows the name."""
    return str(getattr(exception, "exc_cls_name", None) or type(exception).__name__)
