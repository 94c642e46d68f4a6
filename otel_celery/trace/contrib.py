"""opentelemetry-instrumentation-celery: switched on once a process, without its metrics.

The one place that knows its private names; a test fails when one of them moves. It imports Celery's worker, and with it
the event loop of kombu, which keeps the ``poll`` that it finds: so it is imported no sooner than it is needed, when
whoever patches this process by gevent or eventlet has done so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import NoOpMeterProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span, TracerProvider

    Handler = Callable[..., Any]
    Wrap = Callable[[Handler], Handler]

BEGIN_PUBLISH = "_trace_before_publish"
HANDLERS = ("_trace_prerun", "_trace_postrun", BEGIN_PUBLISH, "_trace_after_publish", "_trace_failure", "_trace_retry")


def is_on() -> bool:
    """Tell whether Celery is instrumented in this process, by whomever."""
    return bool(_instrumentor().is_instrumented_by_opentelemetry)


def switch_on(provider: TracerProvider, wrap: Wrap, begin: Handler | None = None) -> None:
    """Make spans with this provider, and no metrics: those would be a second set.

    ``wrap`` makes what hears Celery's signals of each of contrib's own handlers. ``begin`` hears
    ``before_task_publish`` in contrib's place, and calls :func:`begin_publish` where a span is to begin.
    """
    instrumentor = _instrumentor()
    for name in HANDLERS:
        if hasattr(instrumentor, name):  # else it has moved, and what contrib connects is its own
            instrumentor.__dict__[name] = wrap(getattr(instrumentor, name))
    if begin is not None:
        instrumentor.__dict__[BEGIN_PUBLISH] = begin
    instrumentor.instrument(
        skip_dep_check=True,  # our own requirements are narrower
        tracer_provider=provider,
        meter_provider=NoOpMeterProvider(),
    )


def switch_off() -> None:
    """Make no more spans; harmless when none are made."""
    instrumentor = _instrumentor()
    if is_on():
        instrumentor.uninstrument()
    for name in HANDLERS:
        instrumentor.__dict__.pop(name, None)


def begin_publish(message: dict[str, Any]) -> None:
    """Begin the span of a message that is about to be published."""
    instrumentor = _instrumentor()
    type(instrumentor)._trace_before_publish(instrumentor, **message)  # noqa: SLF001


def describe(span: Span, headers: Any) -> None:
    """Give a span the attributes that contrib makes of a message's headers."""
    from opentelemetry.instrumentation.celery.utils import set_attributes_from_context  # noqa: PLC0415  see the module

    set_attributes_from_context(span, headers)


def _instrumentor() -> Any:
    """Give the only one that there is in a process."""
    from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415  see the module

    return CeleryInstrumentor()  # type: ignore[no-untyped-call]
