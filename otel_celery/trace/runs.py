"""What the process that runs a task adds to its span: the id that the main process knows, and an honest end."""

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
    """Listens to ``task_prerun`` and ``task_postrun``, each time just before contrib's handlers do."""

    def __init__(self, ids: RunIds, spans: ProcessSpans, insistence: Insistence) -> None:
        """Give run spans their ids, and keep false ones back."""
        self._ids = ids
        self._spans = spans
        self._insistence = insistence
        self._handlers = {
            signals.task_prerun: insistence.whole(self._on_prerun),
            signals.task_postrun: insistence.whole(self._on_postrun),
        }

    def connect(self) -> None:
        """Listen; to be called before contrib is switched on."""
        for signal, handler in self._handlers.items():
            signal.connect(handler, weak=False)

    def disconnect(self) -> None:
        """Listen no more."""
        for signal, handler in self._handlers.items():
            signal.disconnect(handler)

    def _on_prerun(self, task: Any = None, **_: object) -> None:
        self._insistence.begin()
        run = run_of(getattr(task.request, HEADER, None))
        headers = getattr(task.request, "headers", None)
        if isinstance(headers, dict):
            headers.pop(HEADER, None)  # Celery puts them on a retry's message, which is another run
        self._ids.expect(run)

    def _on_postrun(self, task: Any = None, state: str | None = None, **_: object) -> None:
        """Keep back the span of a run that was interrupted: it would say that all went well."""
        self._insistence.end()
        error = sys.exc_info()[1]
        if not _is_interrupted(state, error):
            return
        run = run_of(getattr(task.request, HEADER, None))
        if run is not None:
            self._spans.discard(run.span_id)  # the main process tells of it
        else:
            _mark(trace.get_current_span(), error)


def _is_interrupted(state: str | None, error: BaseException | None) -> bool:
    """Tell whether a run came to no end of Celery's: killed by a signal, a limit, or SystemExit.

    A task's own cleanup may raise while the signal's SystemExit unwinds; then it looks as if it had failed.
    """
    if state is None:
        return not issubclass(type(error), Exception)  # its own __class__ may raise
    return state != states.SUCCESS and _is_terminating()


_is_terminating: Callable[[], bool] = getattr(  # billiard 4.3; before, the same flag without a name
    common, "terminate_handler_fired", lambda: bool(getattr(common, "_should_have_exited", [False])[0])
)


def _mark(span: trace.Span, error: BaseException | None) -> None:
    """Mark a run span as an error: on threads and greenlets there is no other process to tell of it."""
    if isinstance(span, Span) and span.kind is trace.SpanKind.CONSUMER and span.is_recording():
        message = "interrupted"
        with suppress(Exception):  # what a task exits with may be an object of its own, that raises when it is read
            message = repr(error)
            if error is not None:
                span.record_exception(error)
        span.set_status(trace.Status(trace.StatusCode.ERROR, message))
