"""opentelemetry-instrumentation-celery: switched on once a process, without its metrics.

The one place that knows its private names; a test fails when one of them moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import signals
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.metrics import NoOpMeterProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import TracerProvider

    Wrap = Callable[[Callable[..., Any]], Callable[..., None]]

_HANDLERS = {
    "task_prerun": "_trace_prerun",
    "task_postrun": "_trace_postrun",
    "before_task_publish": "_trace_before_publish",
    "after_task_publish": "_trace_after_publish",
    "task_failure": "_trace_failure",
    "task_retry": "_trace_retry",
}

_wrapped: list[tuple[Any, Callable[..., None]]] = []


def is_on() -> bool:
    """Tell whether Celery is instrumented in this process, by whomever."""
    return bool(CeleryInstrumentor().is_instrumented_by_opentelemetry)  # type: ignore[no-untyped-call]


def switch_on(provider: TracerProvider, wrap: Wrap) -> None:
    """Make spans with this provider, and no metrics: those would be a second set.

    ``wrap`` makes the handlers that are connected from contrib's own; one that has moved stays connected as it is.
    """
    instrumentor = CeleryInstrumentor()  # type: ignore[no-untyped-call]
    instrumentor.instrument(
        skip_dep_check=True,  # our own requirements are narrower
        tracer_provider=provider,
        meter_provider=NoOpMeterProvider(),
    )
    for name, private in _HANDLERS.items():
        signal, handler = getattr(signals, name), getattr(instrumentor, private, None)
        if handler is not None and signal.disconnect(handler):
            wrapped = wrap(handler)
            signal.connect(wrapped, weak=False)
            _wrapped.append((signal, wrapped))


def switch_off() -> None:
    """Make no more spans; harmless when none are made."""
    while _wrapped:
        signal, wrapped = _wrapped.pop()
        signal.disconnect(wrapped)
    if is_on():
        CeleryInstrumentor().uninstrument()  # type: ignore[no-untyped-call]


def begin_publish(message: dict[str, Any]) -> None:
    """Begin the span of a message whose ``before_task_publish`` was sent before we were switched on."""
    CeleryInstrumentor()._trace_before_publish(**message)  # type: ignore[no-untyped-call]  # noqa: SLF001
