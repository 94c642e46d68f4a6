"""opentelemetry-instrumentation-celery: switched on once a process, without its metrics.

The one place that knows its private names; a test fails when one of them moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.metrics import NoOpMeterProvider

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


def is_on() -> bool:
    """Tell whether Celery is instrumented in this process, by whomever."""
    return bool(CeleryInstrumentor().is_instrumented_by_opentelemetry)  # type: ignore[no-untyped-call]


def switch_on(provider: TracerProvider) -> None:
    """Make spans with this provider, and no metrics: those would be a second set."""
    CeleryInstrumentor().instrument(  # type: ignore[no-untyped-call]
        skip_dep_check=True,  # our own requirements are narrower
        tracer_provider=provider,
        meter_provider=NoOpMeterProvider(),
    )


def switch_off() -> None:
    """Make no more spans; harmless when none are made."""
    if is_on():
        CeleryInstrumentor().uninstrument()  # type: ignore[no-untyped-call]


def begin_publish(message: dict[str, Any]) -> None:
    """Begin the span of a message whose ``before_task_publish`` was sent before we were switched on."""
    CeleryInstrumentor()._trace_before_publish(**message)  # type: ignore[no-untyped-call]  # noqa: SLF001
