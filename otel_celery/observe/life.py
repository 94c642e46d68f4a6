"""Record the life of one request on the request itself: received, started, ended once.

One end causes several callbacks, in an order that differs by pool and version. The first is latched on the request, and
the rest are ignored. Nothing here may be keyed by task id: a retry is delivered again, under the same id, before its
first run has reported Retry.

The callbacks run for each task in the worker's main process, so this code makes fewer calls than would be pretty.
Users' objects, exceptions above all, are examined by their type alone (see ``plain``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import Terminated, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry
from celery.utils.serialization import UnpickleableExceptionWrapper

from otel_celery.lifecycle import SENT_HEADER, Limit, Outcome, Revocation, Where
from otel_celery.observe import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery.worker.request import Request as _Base

    from otel_celery.observe.held import Holder
    from otel_celery.observers import TaskObserver, WorkerObserver
else:
    _Base = object  # a mixin: its real base is the class that it is put before

_INFINITE = float("inf")
_EARLIEST, _LATEST = 1e9, 1e10
"""Seconds since the epoch, from 2001 to 2286: a time of publishing outside of these is no time."""
_SUCCESS = Outcome.SUCCESS
"""A module global is looked up faster than an enum member, and this one is read for each task."""

LOST = (WorkerLostError, SystemExit, KeyboardInterrupt)
"""Exceptions that mean that the child is gone. Celery decides the outcome while it handles the failure."""


class RequestWatch(Protocol):
    """The interface that an observed request reports to."""

    observer: WorkerObserver

    def books_of(self, name: str, info: Mapping[str, Any]) -> TaskObserver | None:
        """Return the observer for a new request, by its task's name and delivery info; None leaves it unobserved."""

    def hold(self, request: Any) -> None:
        """Hold a request with an ETA until it starts or ends: nothing else refers to it while it waits."""

    def process_timed_out(self, pid: int | None) -> None:
        """Note that the child with this process id is being killed for its hard time limit."""


class Life(_Base):
    """Mixin with the notes on one request. Moments are in seconds of the monotonic clock."""

    _otel_watch: RequestWatch
    _otel_books: TaskObserver | None = None
    _otel_runnable_at: float = 0.0
    _otel_age: float | None = None
    """Seconds from the publishing of the message, or a later ETA, to ``_otel_runnable_at``; None if not known."""
    _otel_accepted_at: float | None = None
    _otel_holder: Holder | None = None
    _otel_ends: Sequence[list[Outcome]] = ()
    """The reported outcomes, each in a list of its own: the first counts. A list for each observed request."""
    _otel_stopping: Outcome | None = None
    """The outcome of a green thread that this worker is killing: such a run ends as if it had returned None."""
    _otel_verdict: Outcome | None = None
    """Set while Celery decides the outcome of a task whose child was lost."""
    _otel_is_run_here: bool = False
    """Set while the request executes itself, in this process and outside the pool."""


def is_observed(request: Any) -> bool:
    """Tell whether a request reports its life. One received while no watch was installed does not."""
    return issubclass(type(request), Life) and request._otel_books is not None


def is_active(request: Any) -> bool:
    """Tell whether a request that Celery counts as active is still running.

    Celery misses some ends: after a SystemExit in a pool of threads the request stays active for ever.
    """
    return not issubclass(type(request), Life) or not request._otel_ends


def is_waiting(request: Any) -> bool:
    """Tell whether a request has neither started nor ended."""
    return request._otel_accepted_at is None and not request._otel_ends


def runnable_at(request: Any) -> float:
    """Return the moment from which on an observed request can run, in seconds of the monotonic clock."""
    moment: float = request._otel_runnable_at
    return moment


def accepted_at(request: Any) -> float | None:
    """Return when the pool accepted a request, in seconds of the monotonic clock; None before, and if unobserved."""
    return request._otel_accepted_at if issubclass(type(request), Life) else None


def returned(request: Any) -> None:
    """Note that a request goes back to the broker without having run."""
    end(request, Outcome.RETURNED)


def swallowed(request: Any, error: Exception) -> None:
    """Report an exception that was kept from the request."""
    request._otel_watch.observer.swallowed(Where.REQUEST, error)


def received(request: Any, message: Any, headers: Mapping[str, Any]) -> None:
    """Note a new request, made with these headers, and the moment from which on it can run.

    The headers tell the task, and whether there is an ETA, for a tenth of what the request's properties would take.
    """
    info = message.delivery_info or {}
    books = request._otel_watch.books_of(headers["task"], info)
    if books is None:
        return
    request._otel_ends = []
    request._otel_books = books
    # A default of the class would be read for ten times what an attribute of the instance costs.
    request._otel_holder = request._otel_verdict = None
    request._otel_runnable_at = time.monotonic()
    redelivered = info.get("redelivered") is True
    books.received(redelivered=redelivered)
    eta = None
    if headers.get("eta") is not None:
        eta = request.eta
        request._otel_watch.hold(request)
        request._otel_runnable_at += max(0.0, eta.timestamp() - time.time())
    sent = message.headers.get(SENT_HEADER)
    # It may be anything: another program can use the name. A float between these is neither NaN nor infinite.
    if type(sent) is float and _EARLIEST < sent < _LATEST and not redelivered:
        request._otel_age = time.time() - sent if eta is None else _age(sent, eta.timestamp())


def _age(sent: float, eta: float) -> float:
    """Return how long before it can run a message was published, or due if that is later."""
    return max(time.time(), eta) - max(sent, eta)


def started(request: Any, time_accepted: float) -> None:
    """Note that the pool accepted a request at ``time_accepted``, in seconds of the monotonic clock."""
    if request._otel_ends:
        return  # it was returned: the broker delivers it again, and only that run counts
    if type(time_accepted) is not float:  # from a pool, or a Strategy, that is not Celery's
        time_accepted = time.monotonic()
    request._otel_accepted_at = time_accepted
    if request._otel_holder is not None:
        request._otel_holder.started(request)
    waited = time_accepted - request._otel_runnable_at
    if not waited > 0.0:  # max() would cost three times that
        waited = 0.0
    age = request._otel_age
    request._otel_books.started(waited, age if age is None else age + waited)


def came_back(request: Any, result: Any) -> None:
    """Note the end that a result of the pool stands for; Celery passes it to ``on_success``."""
    if type(result) is not tuple and not issubclass(type(result), tuple):
        # SystemExit or KeyboardInterrupt on threads, gevent and eventlet: an ExceptionInfo, which Celery cannot unpack.
        end(request, Outcome.FAILURE, None, WorkerLostError.__name__)
        return
    has_failed, value, runtime = result
    if has_failed:
        if issubclass(type(unwrapped(value.exception)), (SystemExit, KeyboardInterrupt)):
            end(request, Outcome.FAILURE, None, WorkerLostError.__name__)  # Celery raises it, without on_failure
        else:
            failed(request, value)  # before on_failure Celery reads its __class__, which may raise
    elif runtime is None and value is None:
        _came_back_empty(request)
    elif type(runtime) is float and 0.0 <= runtime < _INFINITE:
        end(request, _SUCCESS, runtime)
    else:
        end(request, _SUCCESS, plain.seconds(runtime))


def _came_back_empty(request: Any) -> None:
    """Note the end of a run with neither a result nor a runtime; Celery's own successes have a runtime.

    Either a green thread was killed, or nothing ran because ``worker_deduplicate_successful_tasks`` found a stored
    success. Otherwise a custom Strategy has reported a success without a runtime.
    """
    if request._otel_stopping is not None:
        end(request, request._otel_stopping)
    elif _may_be_a_duplicate(request):
        request._otel_accepted_at = None
        end(request, Outcome.IGNORED)
    else:
        end(request, _SUCCESS)


def _may_be_a_duplicate(request: Any) -> bool:
    """Tell whether Celery looks for a stored success before it runs this request; the condition is its tracer's."""
    redelivered = (request.delivery_info or {}).get("redelivered")
    return bool(redelivered and request.app.conf.worker_deduplicate_successful_tasks)


def failed(request: Any, exc_info: Any) -> bool:
    """Note a request's failure; return True if its child is gone and Celery has yet to decide the outcome."""
    if not issubclass(type(exc_info), ExceptionInfo):
        end(request, Outcome.FAILURE)
        return False
    try:
        exception = unwrapped(exc_info.exception)
        kind = type(exception)
        if issubclass(kind, LOST):
            return True
        if not issubclass(kind, Terminated):  # _announce_revoked reports this one, before or after
            end(request, outcome_of(kind), exception=name_of(exception))
    except Exception as error:  # noqa: BLE001  as in request.Observed.__init__
        swallowed(request, error)
        end(request, Outcome.FAILURE)
    return False


def began_here(request: Any) -> None:
    """Note that a request begins to execute itself; it checks only afterwards whether it is revoked."""
    request._otel_is_run_here = True
    request._otel_accepted_at = time.monotonic()


def ran_here(request: Any, result: Any = None, error: BaseException | None = None) -> None:
    """Note the end of a request that executed itself, by its return value or its exception."""
    request._otel_is_run_here = False
    if request._otel_books is None or request._otel_ends:
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
    """Note the time limit that a request reached."""
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
    """Latch and report the first outcome of a request; later ones are ignored."""
    try:
        books = request._otel_books
        if books is None or request._otel_verdict is not None:
            return
        # append is one step of the interpreter, so that the first of two threads wins. A lock could deadlock:
        # a cold shutdown cancels requests inside the OS signal handler, at any line of the main thread.
        latch, ends = [outcome], request._otel_ends
        ends.append(latch)
        if ends[0] is not latch:
            return
        if request._otel_holder is not None:
            request._otel_holder.ended(request)
        duration, accepted = None, request._otel_accepted_at
        if accepted is not None:
            duration = time.monotonic() - accepted
            if not duration >= 0.0:  # the pool may use another clock; max() would cost three times that
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
    """Return the outcome of a cancelled run.

    RETURNED if the task acknowledges late, since the broker delivers its message again; else RETRY, as Celery records
    it.
    """
    try:
        return Outcome.RETURNED if request.task.acks_late and not request.acknowledged else Outcome.RETRY
    except Exception as error:  # noqa: BLE001  as in request.Observed.__init__
        swallowed(request, error)
        return Outcome.RETRY


def outcome_of(kind: type[BaseException]) -> Outcome:
    """Return the outcome that Celery gives to a request that raised an exception of this class."""
    if issubclass(kind, Reject):
        return Outcome.REJECTED
    if issubclass(kind, Retry):
        return Outcome.RETRY
    return Outcome.IGNORED if issubclass(kind, Ignore) else Outcome.FAILURE


def unwrapped(exception: Any) -> BaseException:
    """Remove billiard's wrapper, and no other: a Retry has an ``exc`` of its own."""
    wrapped: BaseException = exception.exc if issubclass(type(exception), ExceptionWithTraceback) else exception
    return wrapped


def name_of(exception: Any) -> str:
    """Return the name of an exception's class.

    An exception that could not be pickled arrives in Celery's wrapper, which has the original name.
    """
    kind = type(exception)
    if issubclass(kind, UnpickleableExceptionWrapper):
        return plain.text(exception.exc_cls_name) or plain.class_name(kind)
    return plain.class_name(kind)
