"""A mixin for Celery's Request that reports each request's life: received, started, ended once.

The worker's main process handles a Request for every task, on every pool and with events off. ``app.Task.Request`` is
Celery's documented extension point
(https://docs.celeryq.dev/en/stable/userguide/tasks.html#requests-and-custom-requests). :func:`observed` derives our
class from the one in place, so that a user's own Request stays in the MRO and receives every call as before.

This module knows the meaning of Celery's calls; ``life`` records it.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.utils.functional import noop

from otel_celery.lifecycle import Limit, Outcome, Where, guarded
from otel_celery.observe import life, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.observe.life import RequestWatch

_VERDICTS = {"task-succeeded": Outcome.SUCCESS, "task-retried": Outcome.RETRY}
"""Events by which Celery announces that the task of a lost child did not fail.

On 5.7 its SUCCESS was already stored, or ``retry_on_worker_lost`` is set.
"""


class Observed(life.Life):
    """Mixin before a Request class. Reports to ``_otel_watch``, which :func:`observed` sets.

    The two methods that follow are the next class's, found once: for each task, ``super()`` would cost as much as all
    that is noted there.
    """

    _otel_construct: Callable[..., None]
    _otel_accept: Callable[[int, float], None]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Report from the final class's ``on_success`` too.

        ``create_request_cls`` defines ``on_success`` in a subclass of this one, and never calls super.
        """
        super().__init_subclass__(**kwargs)
        if "on_success" in cls.__dict__:  # not an inherited one, or it would report twice
            cls.on_success = _reporting(cls.on_success)  # type: ignore[method-assign]

    def __init__(  # noqa: PLR0913, PLR0917  Celery's signature
        self,
        message: Any,
        on_ack: Any = noop,
        hostname: Any = None,
        eventer: Any = None,
        app: Any = None,
        connection_errors: Any = None,
        request_dict: Any = None,
        task: Any = None,
        on_reject: Any = noop,
        body: Any = None,
        headers: Any = None,
        decoded: bool = False,  # noqa: FBT001, FBT002  as above
        utc: bool = True,  # noqa: FBT001, FBT002
        **options: Any,
    ) -> None:
        """Note the request as received, once Celery has accepted the message as well-formed.

        The arguments that Celery's strategy passes are named here. To pack them into a mapping and unpack it again, for
        each task, would cost a quarter of everything done here.
        """
        construct = self._otel_construct
        if options:
            construct = functools.partial(construct, **options)
        construct(
            message,
            on_ack=on_ack,
            hostname=hostname,
            eventer=eventer,
            app=app,
            connection_errors=connection_errors,
            request_dict=request_dict,
            task=task,
            on_reject=on_reject,
            body=body,
            headers=headers,
            decoded=decoded,
            utc=utc,
        )
        try:
            life.received(self, message, message.headers if headers is None else headers)
        except Exception as error:  # noqa: BLE001  guarded() would be one more call for every task
            life.swallowed(self, error)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note the request as started."""
        try:
            if self._otel_books is not None:
                life.started(self, time_accepted)
        except Exception as error:  # noqa: BLE001  as in __init__
            life.swallowed(self, error)
        self._otel_accept(pid, time_accepted)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Note the failure before Celery handles it: for a MemoryError, Celery's handling raises."""
        if life.failed(self, exc_info):
            return self._otel_on_lost(exc_info, *args, **kwargs)
        return super().on_failure(exc_info, *args, **kwargs)

    def _otel_on_lost(self, *args: Any, **kwargs: Any) -> Any:
        """Let Celery decide the outcome of a task whose child was lost, then note it."""
        self.__dict__.update(_otel_verdict=Outcome.FAILURE, send_event=self._otel_hear)
        try:
            return super().on_failure(*args, **kwargs)
        finally:
            self.__dict__.pop("send_event", None)
            verdict = self.__dict__.pop("_otel_verdict", Outcome.FAILURE)
            # One name for all of LOST: whether SystemExit or WorkerLostError arrives, is a race of pipe and process.
            life.end(self, verdict, exception=WorkerLostError.__name__)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001  Celery's signature, called by keyword
        """Note the time limit; on gevent no other callback reports the end at a hard limit."""
        guarded(self._otel_watch.observer, Where.REQUEST, life.timed_out, self, Limit.SOFT if soft else Limit.HARD)
        if not soft:
            life.end(self, Outcome.FAILURE, exception=TimeLimitExceeded.__name__)
        super().on_timeout(soft=soft, timeout=timeout)

    def on_success(self, result: Any, **kwargs: Any) -> Any:
        """Note the result from the pool. A class made by ``create_request_cls`` overrides this method."""
        if self._otel_books is not None:
            guarded(self._otel_watch.observer, Where.REQUEST, life.came_back, self, result)
        return super().on_success(result, **kwargs)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Note a run in this very process. Apart from it Celery only acknowledges or rejects the message."""
        observer = self._otel_watch.observer
        guarded(observer, Where.REQUEST, life.began_here, self)
        try:
            result = super().execute(*args, **kwargs)
        except BaseException as error:
            guarded(observer, Where.REQUEST, life.ran_here, self, None, error)
            raise
        guarded(observer, Where.REQUEST, life.ran_here, self, result)
        return result

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  Celery's signature
        """Note a rejection. After the task's end, and during a run in this process, it only gives the message back."""
        if not self._otel_is_run_here:
            life.end(self, Outcome.REJECTED)
        super().reject(requeue=requeue)

    def terminate(self, *args: Any, **kwargs: Any) -> None:
        """Remember that the run is being killed because the task was revoked."""
        self._otel_stopping = Outcome.REVOKED
        super().terminate(*args, **kwargs)

    def cancel(self, *args: Any, **kwargs: Any) -> None:
        """Remember that the run is being killed because its worker cannot finish it."""
        self._otel_stopping = life.cancelled(self)
        super().cancel(*args, **kwargs)

    def _otel_hear(self, type: str, **fields: Any) -> None:  # noqa: A002  Celery's signature
        """Note Celery's verdict on a task whose child was lost; replaces ``send_event`` only meanwhile."""
        if self._otel_verdict is not None:
            self._otel_verdict = _VERDICTS.get(type, self._otel_verdict)
        super().send_event(type, **fields)

    def _announce_revoked(self, reason: str, *args: Any, **kwargs: Any) -> None:
        if self._otel_is_run_here:
            self._otel_accepted_at = None  # it was revoked before it ran
        life.end(self, Outcome.REVOKED, revocation=reason)
        super()._announce_revoked(reason, *args, **kwargs)

    def _announce_cancelled(self, *args: Any, **kwargs: Any) -> None:
        life.end(self, life.cancelled(self))
        super()._announce_cancelled(*args, **kwargs)


class ObservedInTrace(Observed):
    """An observed Request whose observations belong to the trace that its message carries."""

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        """Pass the message's headers to the task's observer; they are plain data here."""
        super().__init__(message, *args, **kwargs)
        guarded(self._otel_watch.observer, Where.REQUEST, self._otel_join)

    def _otel_join(self) -> None:
        if self._otel_books is not None:
            self._otel_books = self._otel_books.in_trace(self.request_dict)


def observed(base: type, watch: RequestWatch) -> type:
    """Derive from a Request class one that reports to ``watch``; return a class that already does so unchanged."""
    if issubclass(base, Observed):
        return base
    front = ObservedInTrace if watch.observer.wants_traces else Observed
    found = {
        "_otel_watch": watch,
        "_otel_construct": inspect.getattr_static(base, "__init__"),
        "_otel_accept": inspect.getattr_static(base, "on_accepted"),
    }
    return type(f"Observed{plain.class_name(base)}", (front, base), {"__slots__": (), **found})


def _reporting(on_success: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(on_success)
    def reporting(self: Observed, result: Any, **kwargs: Any) -> Any:
        try:
            if self._otel_books is not None:
                life.came_back(self, result)
        except Exception as error:  # noqa: BLE001  as in Observed.__init__
            life.swallowed(self, error)
        if kwargs:
            return on_success(self, result, **kwargs)
        return on_success(self, result)  # Celery's pools pass no more; to unpack an empty mapping costs a call

    return reporting
