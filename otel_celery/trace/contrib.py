"""Switch opentelemetry-instrumentation-celery on and off, once a process, and without its metrics.

This is the only module that uses its private names; a test fails when one of them moves. The package imports Celery's
worker, and with it kombu's event loop, which keeps the ``poll`` of that moment. So it is imported at its first use,
after gevent or eventlet may have patched the process.
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
    """Tell whether Celery is instrumented in this process, by us or by another package."""
    return bool(_instrumentor().is_instrumented_by_opentelemetry)


def switch_on(provider: TracerProvider, wrap: Wrap, begin: Handler | None = None) -> None:
    """Make spans with this provider, and no metrics, which would be a second set beside ours.

    ``wrap`` wraps each of contrib's signal handlers. ``begin`` replaces its handler of ``before_task_publish``, and
    calls :func:`begin_publish` to begin a span.
    """
    instrumentor = _instrumentor()
    for name in HANDLERS:
        if hasattr(instrumentor, name):  # else it has moved, and contrib's handler stays unwrapped
            instrumentor.__dict__[name] = wrap(getattr(instrumentor, name))
    if begin is not None:
        instrumentor.__dict__[BEGIN_PUBLISH] = begin
    instrumentor.instrument(
        skip_dep_check=True,  # our own requirements are narrower
        tracer_provider=provider,
        meter_provider=NoOpMeterProvider(),
    )


def switch_off() -> None:
    """Make no more spans; do nothing if none are made."""
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
    """Set the attributes that contrib derives from a message's headers on a span."""
    from opentelemetry.instrumentation.celery.utils import set_attributes_from_context  # noqa: PLC0415  see the module

    set_attributes_from_context(span, headers)


def _instrumentor() -> Any:
    """Return the instrumentor, of which a process has one."""
    from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415  see the module

    return CeleryInstrumentor()
