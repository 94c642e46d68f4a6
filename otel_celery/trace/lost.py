"""Report lost runs, whose pool child cannot: killed, over the hard limit, terminated, or cut off by a cold shutdown.

The main process exports one span for each lost run, with the ids that it gave the run when it received the request.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import context, trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace.sampling import Decision

from otel_celery.lifecycle import Outcome
from otel_celery.trace import contrib
from otel_celery.trace.ids import HEADER, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping
    from contextlib import AbstractContextManager

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

    from otel_celery.trace.courier import Courier
    from otel_celery.trace.ids import Run, RunIds

STATES = {
    Outcome.SUCCESS: "SUCCESS",
    Outcome.FAILURE: "FAILURE",
    Outcome.RETRY: "RETRY",
    Outcome.REVOKED: "REVOKED",
}
"""The task state that Celery records for each outcome; a run that was given back has none."""


class _Loss(NamedTuple):
    """One lost run; times are in nanoseconds since the epoch."""

    run: Run
    headers: Mapping[str, Any]
    started: int
    ended: int
    error: BaseException
    outcome: Outcome


class LostRuns:
    """Makes the spans of lost runs; implements ``observers.RunObserver``, and does nothing until it is switched on."""

    def __init__(self, provider: TracerProvider, ids: RunIds, scope: str) -> None:
        """Make spans with this provider, whose id generator must be ``ids``, in this instrumentation scope."""
        self._provider = provider
        self._ids = ids
        self._tracer = provider.get_tracer(scope)
        self._courier: Courier | None = None

    def switch_on(self, courier: Courier) -> None:
        """Follow the requests received from now on; the courier makes the spans."""
        self._courier = courier

    def switch_off(self) -> None:
        """Follow no further requests."""
        self._courier = None

    def received(self, headers: MutableMapping[str, Any]) -> None:
        """Give a new request the ids of its run, in a header."""
        if self._courier is not None:
            headers[HEADER] = self._ids.run().header

    def within(self, headers: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Make the run the parent of messages published inside this context, such as errbacks."""
        run = run_of(headers.get(HEADER))
        return nullcontext() if run is None else _attached(self._context(headers, run))

    def lost(self, headers: Mapping[str, Any], started: float, error: BaseException, outcome: Outcome) -> None:
        """Have the courier make the span: this may run inside an OS signal handler, which must not wait for a lock."""
        run = run_of(headers.get(HEADER))
        if run is not None and self._courier is not None:
            loss = _Loss(run, headers, int(started * 1e9), time.time_ns(), error, outcome)
            self._courier.ask(partial(self._tell, loss))

    def _tell(self, loss: _Loss) -> None:
        name, parent = _name(loss.headers), extract(loss.headers)
        self._ids.expect(loss.run)
        span = self._tracer.start_span(name, parent, trace.SpanKind.CONSUMER, start_time=loss.started)
        try:
            contrib.describe(span, loss.headers)
            span.set_attributes({"celery.action": "run", "celery.task_name": loss.headers["task"]})
            if loss.outcome in STATES:
                span.set_attribute("celery.state", STATES[loss.outcome])
            if loss.outcome is not Outcome.SUCCESS:
                _record(span, loss)
        finally:
            span.end(loss.ended)

    def _context(self, headers: Mapping[str, Any], run: Run) -> Context:
        """Make the context whose current span is the run's, with the sampler's decision."""
        above = extract(headers)
        parent = trace.get_current_span(above).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else run.trace_id
        sampled = self._provider.sampler.should_sample(above, trace_id, _name(headers), trace.SpanKind.CONSUMER)
        is_sampled = sampled.decision is Decision.RECORD_AND_SAMPLE
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if is_sampled else trace.TraceFlags.DEFAULT)
        span = trace.SpanContext(trace_id, run.span_id, True, flags, sampled.trace_state)  # noqa: FBT003
        return trace.set_span_in_context(trace.NonRecordingSpan(span), above)


def _record(span: trace.Span, loss: _Loss) -> None:
    """Record the exception that ended a run; the task may have made it, so that any of its methods may raise."""
    try:
        message = str.__str__(str(loss.error))
        span.record_exception(loss.error, timestamp=loss.ended)
    except BaseException:  # noqa: BLE001  anything: only the courier works in this thread
        message = "its message cannot be read"
        kind = type.__dict__["__name__"].__get__(type(loss.error))
        span.add_event("exception", {"exception.type": kind, "exception.message": message}, loss.ended)
    span.set_status(trace.Status(trace.StatusCode.ERROR, message))


@contextmanager
def _attached(current: Context) -> Iterator[None]:
    token = context.attach(current)
    try:
        yield
    finally:
        context.detach(token)


def _name(headers: Mapping[str, Any]) -> str:
    """Return the name of the run's span, as contrib has it."""
    return f"run/{headers['task']}"
