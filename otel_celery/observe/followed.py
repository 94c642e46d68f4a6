"""A Request mixin that reports to the tracer the ends of runs that a child cannot report. Not used with spans off.

These ends are: the child was lost, exceeded its hard time limit, was terminated, or was cancelled.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError

from otel_celery.lifecycle import Outcome, Where, guarded
from otel_celery.observe import life, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celery.worker.request import Request as _Base

    from otel_celery.observe.life import RequestWatch
    from otel_celery.observers import RunObserver, TaskObserver
else:
    _Base = object  # a mixin: its real base is the class that it is put before

_TOLD_BY_MAIN = (WorkerLostError, SystemExit, KeyboardInterrupt, TimeLimitExceeded, Terminated)


class Followed(_Base):
    """Mixin before an observed Request class. Reports to ``_otel_runs``, which :func:`followed` sets."""

    _otel_runs: RunObserver
    _otel_watch: RequestWatch
    _otel_books: TaskObserver | None
    _otel_accepted_at: float | None
    _otel_ends: Sequence[list[Outcome]]
    _otel_is_told = False

    def __init__(self, message: Any, *args: Any, **kwargs: Any) -> None:
        """Add the run's trace and span ids to the message's headers."""
        super().__init__(message, *args, **kwargs)
        if self._otel_books is not None:
            guarded(self._otel_watch.observer, Where.REQUEST, self._otel_give_ids)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Report a lost run once Celery has handled its failure. Errbacks published meanwhile belong to the run."""
        exception = self._otel_cause(exc_info)
        if exception is None:
            return super().on_failure(exc_info, *args, **kwargs)
        try:
            with self._otel_within():
                return super().on_failure(exc_info, *args, **kwargs)
        finally:
            self._otel_tell(exception)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001  Celery's signature, called by keyword
        """Report a run that exceeded its hard limit. Errbacks, which Celery publishes here, belong to the run."""
        if soft:
            super().on_timeout(soft=soft, timeout=timeout)
            return
        try:
            with self._otel_within():
                super().on_timeout(soft=soft, timeout=timeout)
        finally:
            self._otel_tell(TimeLimitExceeded(timeout))

    def _announce_revoked(self, reason: str, *args: Any, **kwargs: Any) -> None:
        super()._announce_revoked(reason, *args, **kwargs)
        self._otel_tell(Terminated(reason))

    def _announce_cancelled(self, *args: Any, **kwargs: Any) -> None:
        super()._announce_cancelled(*args, **kwargs)
        self._otel_tell(Terminated("cancelled by Celery"))

    def _otel_give_ids(self) -> None:
        self._otel_runs.received(self.request_dict)

    def _otel_cause(self, exc_info: Any) -> BaseException | None:
        """Return a failure's exception if it is one that no child reports, else None."""
        try:
            exception = life.unwrapped(exc_info.exception) if issubclass(type(exc_info), ExceptionInfo) else None
            return exception if issubclass(type(exception), _TOLD_BY_MAIN) else None
        except Exception as error:  # noqa: BLE001  as in Observed.__init__
            life.swallowed(self, error)
            return None

    @contextmanager
    def _otel_within(self) -> Iterator[None]:
        """Enter and leave the run's context. Our own errors are kept from Celery; Celery's exceptions pass through."""
        with ExitStack() as run:
            observer = self._otel_watch.observer
            guarded(observer, Where.REQUEST, lambda: run.enter_context(self._otel_runs.within(self.request_dict)))
            try:
                yield
            finally:
                guarded(observer, Where.REQUEST, run.close)

    def _otel_tell(self, error: BaseException) -> None:
        """Report the run's end, once. A request that was never accepted has no run and no span."""
        if self._otel_is_told or self._otel_accepted_at is None:
            return
        self._otel_is_told = True
        guarded(self._otel_watch.observer, Where.REQUEST, self._otel_tell_runs, error)

    def _otel_tell_runs(self, error: BaseException) -> None:
        outcome = self._otel_ends[0][0] if self._otel_ends else Outcome.FAILURE
        self._otel_runs.lost(self.request_dict, self.time_start, error, outcome)


def followed(base: type, runs: RunObserver) -> type:
    """Derive from an observed Request class one that also reports to ``runs``; return such a class unchanged."""
    if issubclass(base, Followed):
        return base
    return type(f"Followed{plain.class_name(base)}", (Followed, base), {"__slots__": (), "_otel_runs": runs})
