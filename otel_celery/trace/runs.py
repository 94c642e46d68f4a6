"""Give the span of a run its ids from the main process, and hold back the span of an interrupted run.

This is in the process that runs the task. Contrib would end the span of an interrupted run without an error.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from billiard import common
from celery import signals, states
from opentelemetry import trace
from opentelemetry.sdk.trace import Span

from otel_celery.trace.ids import HEADER, run_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.trace.ids import RunIds
    from otel_celery.trace.insistence import Insistence
    from otel_celery.trace.spans import ProcessSpans


class Runs:
    """Handlers of ``task_prerun`` and ``task_postrun`` that run just before contrib's."""

    def __init__(self, ids: RunIds, spans: ProcessSpans, insistence: Insistence) -> None:
        """Give ids through ``ids``, and discard spans in ``spans``."""
        self._ids = ids
        self._spans = spans
        self._insistence = insistence
        self._handlers = {
            signals.task_prerun: insistence.whole(self._on_prerun),
            signals.task_postrun: insistence.whole(self._on_postrun),
        }

    def connect(self) -> None:
        """Connect the handlers; to be called before contrib is switched on, so that they run first."""
        for signal, handler in self._handlers.items():
            signal.connect(handler, weak=False)

    def disconnect(self) -> None:
        """Disconnect the handlers."""
        for signal, handler in self._handlers.items():
            signal.disconnect(handler)

    def _on_prerun(self, task: Any = None, **_: object) -> None:
        self._insistence.begin()
        run = run_of(getattr(task.request, HEADER, None))
        headers = getattr(task.request, "headers", None)
        if isinstance(headers, dict):
            headers.pop(HEADER, None)  # else Celery copies it to a retry's message, which is another run
        self._ids.expect(run)

    def _on_postrun(self, task: Any = None, state: str | None = None, **_: object) -> None:
        """Hold back the span of an interrupted run, or mark it as an error: contrib would end it as a success."""
        self._insistence.end()
        error = sys.exc_info()[1]
        if not _is_interrupted(state, error):
            return
        run = run_of(getattr(task.request, HEADER, None))
        if run is not None:
            self._spans.discard(run.span_id)  # the main process exports it
        else:
            _mark(trace.get_current_span(), error)


def _is_interrupted(state: str | None, error: BaseException | None) -> bool:
    """Tell whether a signal, a limit or SystemExit interrupted a run, so that Celery has no true state for it.

    A task's cleanup may raise while the signal's SystemExit unwinds; Celery then takes the run for a failure.
    """
    if state is None:
        return not issubclass(type(error), Exception)  # isinstance() asks for __class__, which may raise
    return state != states.SUCCESS and _is_terminating()


_is_terminating: Callable[[], bool] = getattr(  # billiard 4.3; before, the flag has no public name
    common, "terminate_handler_fired", lambda: bool(getattr(common, "_should_have_exited", [False])[0])
)


def _mark(span: trace.Span, error: BaseException | None) -> None:
    """Mark the span of an interrupted run as an error, on threads and greenlets: no other process reports it."""
    if isinstance(span, Span) and span.kind is trace.SpanKind.CONSUMER and span.is_recording():
        message = "interrupted"
        with suppress(Exception):  # the task may have made the exception, and its methods may raise
            message = repr(error)
            if error is not None:
                span.record_exception(error)
        span.set_status(trace.Status(trace.StatusCode.ERROR, message))
