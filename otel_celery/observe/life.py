"""What is noted of one request's life, on the request itself: received, started, ended once.

One end fires several callbacks, in an order that differs by pool and version, so the first one is latched on the
request. Never key any of this by task id: a retry is delivered again, under the same id, before its first run has
reported Retry.

The ``_otel_*`` attributes are declared in ``request.Observed``. Its callbacks run once for each task in the worker's
main process: there are fewer calls here than would be pretty.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.exceptions import Ignore, Reject, Retry

from otel_celery.lifecycle import Limit, Outcome, Revocation, Where

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_celery.lifecycle import TaskObserver, WorkerObserver

_SUCCESS = Outcome.SUCCESS
"""A module's own name is looked up faster than a member of an enumeration, and this one is for each task."""


class RequestWatch(Protocol):
    """What an observed request needs of its surroundings."""

    observer: WorkerObserver

    def books_of(self, name: str, info: Mapping[str, Any]) -> TaskObserver | None:
        """Find a new request's books, by its task's name and its delivery info; None leaves it unobserved."""

    def hold(self, request: Any) -> None:
        """Remember a request with an ETA until it is let go: nothing else refers to it while it waits."""

    def let_go(self, request: Any) -> None:
        """Forget a request that was held."""

    def process_timed_out(self, pid: int | None) -> None:
        """Note that the child with this process id is being killed for its hard time limit."""


def is_observed(request: Any) -> bool:
    """Tell whether a request reports its life: one that was received while nobody watched does not."""
    return getattr(request, "_otel_books", None) is not None


def is_active(request: Any) -> bool:
    """Tell whether a request that Celery counts as active is still running.

    Celery never hears of the end of some: SystemExit on a pool of threads leaves the request active for ever.
    """
    return getattr(request, "_otel_end", None) is None


def is_waiting(request: Any) -> bool:
    """Tell whether a request has neither started nor ended."""
    return request._otel_accepted_at is None and request._otel_end is None


def accepted_at(request: Any) -> float | None:
    """Tell when the pool accepted a request, on the monotonic clock; None if it is not observed."""
    return getattr(request, "_otel_accepted_at", None)


def returned(request: Any) -> None:
    """Note a request as given back un-run."""
    end(request, Outcome.RETURNED)


def received(request: Any, message: Any) -> None:
    """Note a new request, and since when it could run."""
    info = message.delivery_info or {}
    books = request._otel_watch.books_of(request.type, info)
    if books is None:
        return
    request._otel_books = books
    request._otel_runnable_at = time.monotonic()
    books.received(redelivered=bool(info.get("redelivered")))
    eta = request.eta
    if eta is not None:
        request._otel_is_held = True
        request._otel_watch.hold(request)
        request._otel_runnable_at += max(0.0, eta.timestamp() - time.time())


def started(request: Any, time_accepted: float) -> None:
    """Note that the pool accepted a request, at a moment of the monotonic clock."""
    if request._otel_end is not None:
        return  # given back: Celery's broker will deliver it anew, and that run is the one that counts
    request._otel_accepted_at = time_accepted
    if request._otel_is_held:
        request._otel_watch.let_go(request)
    waited = time_accepted - request._otel_runnable_at
    request._otel_books.started(waited if waited > 0.0 else 0.0)  # noqa: FURB136  as in end


def came_back(request: Any, result: Any) -> None:
    """Read what the pool handed to ``on_success``."""
    if not isinstance(result, tuple):
        # SystemExit or KeyboardInterrupt on threads, gevent and eventlet: an ExceptionInfo, on which Celery trips.
        end(request, Outcome.FAILURE, None, WorkerLostError.__name__)
        return
    failed, value, runtime = result
    if failed:
        if isinstance(unwrapped(value.exception), (SystemExit, KeyboardInterrupt)):
            end(request, Outcome.FAILURE, None, WorkerLostError.__name__)  # Celery raises it instead of on_failure
    elif runtime is None and request._otel_stopping is not None:
        end(request, request._otel_stopping)
    else:
        end(request, _SUCCESS, runtime)


def timed_out(request: Any, limit: Limit) -> None:
    """Note a time limit that a request ran into."""
    if request._otel_books is not None:
        request._otel_books.timed_out(limit)
    if limit is Limit.HARD:
        request._otel_watch.process_timed_out(request.worker_pid)


def end(
    request: Any,
    outcome: Outcome,
    runtime: float | None = None,
    exception: str = "",
    revocation: str = Revocation.TERMINATED.value,
) -> None:
    """Latch the first outcome and report it; everything after that is ignored."""
    books, latch = request._otel_books, [outcome]
    if books is None or request._otel_verdict is not None:
        return
    # One step of the interpreter, so that the first of two threads wins. No lock: a cold shutdown cancels requests
    # from inside the OS signal handler, on whatever line the main thread happens to be.
    if request.__dict__.setdefault("_otel_end", latch) is not latch:
        return
    try:
        if request._otel_is_held:
            request._otel_watch.let_go(request)
        duration, accepted = None, request._otel_accepted_at
        if accepted is not None:
            duration = time.monotonic() - accepted
            if duration < 0.0:  # noqa: PLR1730  the pool's clock is not ours; max() would cost three times that
                duration = 0.0
        books.ended(outcome, duration, runtime)
        if outcome is _SUCCESS:
            return
        if outcome is Outcome.FAILURE:
            books.raised(exception)
        elif outcome is Outcome.REVOKED:
            books.revoked(Revocation(revocation))
    except Exception as error:  # noqa: BLE001  as in Observed.__init__
        request._otel_watch.observer.swallowed(Where.REQUEST, error)


def cancelled(request: Any) -> Outcome:
    """Tell what a cancelled run is: acked late, its message is delivered again; else Celery records a retry."""
    return Outcome.RETURNED if request.task.acks_late and not request.acknowledged else Outcome.RETRY


def outcome_of(exception: BaseException) -> Outcome:
    """Tell what an exception makes of a request, by Celery's own meaning of it."""
    if isinstance(exception, Reject):
        return Outcome.REJECTED
    if isinstance(exception, Retry):
        return Outcome.RETRY
    return Outcome.IGNORED if isinstance(exception, Ignore) else Outcome.FAILURE


def unwrapped(exception: BaseException) -> BaseException:
    """Take off billiard's wrapping, and no other: Retry has an ``exc`` of its own."""
    return exception.exc if isinstance(exception, ExceptionWithTraceback) else exception


def name_of(exception: BaseException) -> str:
    """Name an exception's class, also where it could not be pickled and arrived in a wrapper that knows the name."""
    return str(getattr(exception, "exc_cls_name", None) or type(exception).__name__)
