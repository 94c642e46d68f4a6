"""OpenTelemetry instrumentation for Celery workers, with exact counts on a Prometheus port.

One line in the application switches it on: ``from otel_celery import instrument; instrument(app)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_celery.version import __version__

if TYPE_CHECKING:
    from otel_celery.worker import Instrumentation, instrument

__all__ = ["Instrumentation", "__version__", "instrument"]


def __getattr__(name: str) -> Any:
    """Import Celery and the SDK at first use: entry points load this package before gevent has patched anything."""
    if name in {"Instrumentation", "instrument"}:
        from otel_celery import worker  # noqa: PLC0415

        return getattr(worker, name)
    raise AttributeError(name)
