"""Switch opentelemetry-instrumentation-celery on and off, once a process, and without its metrics.

This is the only module that uses its private names; a test fails when one of them moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.metrics import NoOpMeterProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import TracerProvider

    Handler = Callable[..., Any]
    Wrap = Callable[[Handler], Handler]

BEGIN_PUBLISH = "_trace_before_publish"
HANDLERS = ("_trace_prerun", "_trace_postrun", BEGIN_PUBLISH, "_trace_after_publish", "_trace_failure", "_trace_retry")


def is_on() -> bool:
    """Tell whether Celery is instrumented in this process, by us or by another package."""
    return bool(CeleryInstrumentor().is_instrumented_by_opentelemetry)  # type: ignore[no-untyped-call]


def switch_on(provider: TracerProvider, wrap: Wrap, begin: Handler | None = None) -> None:
    """Make spans with this provider, and no metrics, which would be a second set beside ours.

    ``wrap`` wraps each of contrib's signal handlers. ``begin`` replaces its handler of ``before_task_publish``, and
    calls :func:`begin_publish` to begin a span.
    """
    instrumentor = CeleryInstrumentor()  # type: ignore[no-untyped-call]
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
    instrumentor = CeleryInstrumentor()  # type: ignore[no-untyped-call]
    if is_on():
        instrumentor.uninstrument()
    for name in HANDLERS:
        instrumentor.__dict__.pop(name, None)


def begin_publish(message: dict[str, Any]) -> None:
    """Begin the span of a message that is about to be published."""
    CeleryInstrumentor._trace_before_publish(CeleryInstrumentor(), **message)  # type: ignore[no-untyped-call]  # noqa: SLF001
