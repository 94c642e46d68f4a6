"""What is noted of one request's life, on the request itself: received, started, ended once.

One end fires several callbacks, in an order that differs by pool and version, so the first one is latched on the
request. Never key any of this by task id: a retry is delivered again, under the same id, before its first run has
reported Retry.

Callbacks run once for each task in the worker's main process: there are fewer calls here than would be pretty. What
is the users' (exceptions above all) is looked at by its type alone, see ``plain``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import Terminated, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.serialization import UnpickleableExceptionWrapper

from otel_celery.lifecycle import Limit, Outcome, Revocation, Where
from otel_celery.observe import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery.worker.request import Request as _Base

    from otel_celery.lifecycle import TaskObserver, WorkerObserver
    from otel_celery.observe.held import Holder
else:
    _Base = object  # these classes stand in front of whatever is there

_INFINITE = float("inf")
_SUCCESS = Outcome.SUCCESS
"""A module's own name is looked up faster than a member of an enumeration, and this one is for each task."""

LOST = (WorkerLostError, SystemExit, KeyboardInterrupt)
"""The child is gone; Celery decides what that means while it handles the failure."""


class RequestWatch(Protocol):
    """What an observed request needs of its surroundings."""

    observer: WorkerObserver

    def books_of(self, name: str, info: Mapping[str, Any]) -> TaskObserver | None:
        """Find a new request's books, by its task's name and its delivery info; None leaves it unobserved."""

    def hold(self, request: Any) -> None:
        """Remember a request with an ETA until it starts or ends: nothing else refers to it while it waits."""

    def process_timed_out(self, pid: int | None) -> None:
        """Note that the child with this process id is being killed for its hard time limit."""


class Life(_Base):
    """A request whose life is noted on itself."""

    _otel_watch: RequestWatch
    _otel_books: TaskObserver | None = None
    _otel_runnable_at: float = 0.0
    _otel_accepted_at: float | None = None
    _otel_holder: Holder | None = None
    _otel_end: list[Outcome] | None = None
    _otel_stopping: Outcome | None = None
    """What a green thread's death means, where this worker asked for it: it ends as if it had returned None."""
    _otel_verdict: Outcome | None = None
    """Set while Celery decides what the loss of a child means."""
    _otel_is_run_here: bool = False
    """Set while the request runs itself, in this process and outside the pool."""


def is_observed(request: Any) -> bool:
    """Tell whether a request reports its life: one that was received while nobody watched does not."""
    return issubclass(type(request), Life) and request._otel_books is not None


def is_active(request: Any) -> bool:
    """Tell whether a request that Celery counts as active is still running.

    Celery never hears of the end of some: SystemExit on a pool of threads leaves the request active for ever.
    """
    return not issubclass(type(request), Life) or request._otel_end is None


def is_waiting(request: Any) -> bool:
    """Tell whether a request has neither started nor ended."""
    return request._otel_accepted_at is None and request._otel_end is None


def runnable_at(request: Any) -> float:
    """Tell since when, or from when on, an observed request could run, on the monotonic clock."""
    moment: float = request._otel_runnable_at
    return moment


def accepted_at(request: Any) -> float | None:
    """Tell when the pool accepted a request, on the monotonic clock; None if it is not observed."""
    return request._otel_accepted_at if issubclass(type(request), Life) else None


def returned(request: Any) -> None:
    """Note a request as given back un-run."""
    end(request, Outcome.RETURNED)


def swallowed(request: Any, error: Exception) -> None:
    """Tell of an exception that was kept from the request."""
    request._otel_watch.observer.swallowed(Where.REQUEST, error)


def received(request: Any, message: Any) -> None:
    """Note a new request, and since when it could run."""
    info = message.delivery_info or {}
    books = request._otel_watch.books_of(request.type, info)
    if books is None:
        return
    request._otel_books = books
    request._otel_runnable_at = time.monotonic()
    books.received(redelivered=info.get("redelivered") is True)
    eta = request.eta
    if eta is not None:
        request._otel_watch.hold(request)
        request._otel_runnable_at += max(0.0, eta.timestamp() - time.time())


def started(request: Any, time_accepted: float) -> None:
    """Note that the pool accepted a request, at a moment of the monotonic clock."""
    if request._otel_end is not None:
        return  # given back: Celery's broker will deliver it anew, and that run is the one that counts
    if type(time_accepted) is not float:  # of a pool, or a Strategy, that is not Celery's
        time_accepted = time.monotonic()
    request._otel_accepted_at = time_accepted
    if request._otel_holder is not None:
        request._otel_holder.started(request)
    waited = time_accepted - request._otel_runnable_at
    request._otel_books.started(waited if waited > 0.0 else 0.0)  # noqa: FURB136  as in end


def came_back(request: Any, result: Any) -> None:
    """Read what the pool handed to ``on_success``."""
    if type(result) is not tuple and not issubclass(type(result), tuple):
        # SystemExit or KeyboardInterrupt on threads, gevent and eventlet: an ExceptionInfo, on which Celery trips.
        end(request, Outcome.FAILURE, None, WorkerLostError.__name__)
        return
    has_failed, value, runtime = result
    if has_failed:
        if issubclass(type(unwrapped(value.exception)), (SystemExit, KeyboardInterrupt)):
            end(request, Outcome.FAILURE, None, WorkerLostError.__name__)  # Celery raises it instead of on_failure
        else:
            failed(request, value)  # Celery asks it for its class before on_failure, which may raise
    elif runtime is None and value is None:
        _came_back_empty(request)
    elif type(runtime) is float and 0.0 <= runtime < _INFINITE:
        end(request, _SUCCESS, runtime)
    else:
        end(request, _SUCCESS, plain.seconds(runtime))


def _came_back_empty(request: Any) -> None:
    """Note the end of a run that has neither result nor runtime, which a success always has.

    A green thread was killed; or nothing ran, since ``worker_deduplicate_successful_tasks`` found a success stored. A
    Strategy that tells of an end by itself may have nothing else to say of a success.
    """
    if request._otel_stopping is not None:
        end(request, request._otel_stopping)
    elif _may_be_a_duplicate(request):
        request._otel_accepted_at = None
        end(request, Outcome.IGNORED)
    else:
        end(request, _SUCCESS)


def _may_be_a_duplicate(request: Any) -> bool:
    """Tell whether Celery looks for a stored success before it runs this request, as its own tracer asks."""
    redelivered = (request.delivery_info or {}).get("redelivered")
    return bool(redelivered and request.app.conf.worker_deduplicate_successful_tasks)


def failed(request: Any, exc_info: Any) -> bool:
    """Note how a request failed; True says that its child is gone, and Celery is still to decide what that means."""
    if not issubclass(type(exc_info), ExceptionInfo):
        end(request, Outcome.FAILURE)
        return False
    try:
        exception = unwrapped(exc_info.exception)
        kind = type(exception)
        if issubclass(kind, LOST):
            return True
        if not issubclass(kind, Terminated):  # of that Celery tells in _announce_revoked, or has already told
            end(request, outcome_of(kind), exception=name_of(exception))
    except Exception as error:  # noqa: BLE001  as in request.Observed.__init__
        swallowed(request, error)
        end(request, Outcome.FAILURE)
    return False


def began_here(request: Any) -> None:
    """Note that a request begins to run itself; whether it is revoked it finds out first."""
    request._otel_is_run_here = True
    request._otel_accepted_at = time.monotonic()


def ran_here(request: Any, result: Any = None, error: BaseException | None = None) -> None:
    """Note what came of a request that ran itself: the value it gave, or what it raised."""
    request._otel_is_run_here = False
    if request._otel_books is None or request._otel_end is not None:
        return  # it was revoked
    started(request, request._otel_accepted_at)
    if error is None and issubclass(type(result), ExceptionInfo):
        error = unwrapped(result.exception)
    if error is None:
        end(request, _SUCCESS)
    elif issubclass(type(error), LOST):
        end(request, Outcome.FAILURE, exception=WorkerLostError.__name__)
    else:
        end(request, outcome_of(type(error)), exception=name_of(error))


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
    try:
        books, latch = request._otel_books, [outcome]
        if books is None or request._otel_verdict is not None:
            return
        # One step of the interpreter, so that the first of two threads wins. No lock: a cold shutdown cancels
        # requests from inside the OS signal handler, on whatever line the main thread happens to be.
        if request.__dict__.setdefault("_otel_end", latch) is not latch:
            return
        if request._otel_holder is not None:
            request._otel_holder.ended(request)
        duration, accepted = None, request._otel_accepted_at
        if accepted is not None:
            duration = time.monotonic() - accepted
            if not duration >= 0.0:  # the pool's clock is not ours; max() would cost three times that
                duration = 0.0
        books.ended(outcome, duration, runtime)
        if outcome is _SUCCESS:
            return
        if outcome is Outcome.FAILURE:
            books.raised(exception)
        elif outcome is Outcome.REVOKED:
            books.revoked(Revocation(revocation))
    except Exception as error:  # noqa: BLE001  as in request.Observed.__init__
        swallowed(request, error)


def cancelled(request: Any) -> Outcome:
    """Tell what a cancelled run is: acked late, its message is delivered again; else Celery records a retry."""
    try:
        return Outcome.RETURNED if request.task.acks_late and not request.acknowledged else Outcome.RETRY
    except Exception as error:  # noqa: BLE001  as in request.Observed.__init__
        swallowed(request, error)
        return Outcome.RETRY


def outcome_of(kind: type[BaseException]) -> Outcome:
    """Tell what an exception of this class makes of a request, by Celery's own meaning of it."""
    if issubclass(kind, Reject):
        return Outcome.REJECTED
    if issubclass(kind, Retry):
        return Outcome.RETRY
    return Outcome.IGNORED if issubclass(kind, Ignore) else Outcome.FAILURE


def unwrapped(exception: Any) -> BaseException:
    """Take off billiard's wrapping, and no other: Retry has an ``exc`` of its own."""
    wrapped: BaseException = exception.exc if issubclass(type(exception), ExceptionWithTraceback) else exception
    return wrapped


def name_of(exception: Any) -> str:
    """Name an exception's class, also where it could not be pickled and arrived in a wrapper that knows the name."""
    kind = type(exception)
    if issubclass(kind, UnpickleableExceptionWrapper):
        return plain.text(exception.exc_cls_name) or plain.class_name(kind)
    return plain.class_name(kind)
