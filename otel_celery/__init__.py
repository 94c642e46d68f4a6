"""OpenTelemetry instrumentation for Celery workers, with exact counts on a Prometheus port.

One line in the application switches it on: ``from otel_celery import instrument; instrument(app)``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_celery.version import __version__

if TYPE_CHECKING:
    from otel_celery.worker import Instrumentation, instrument

__all__ = ["Instrumentation", "__version__", "instrument"]


def _refuse_to_be_included() -> None:
    """Raise ImportError if Celery imports this package as a module of tasks (``-I otel_celery``), which it is not.

    Nothing would be switched on, and nothing else would say so: it is the import of the hook that switches on.
    """
    try:
        asked, frame = None, sys._getframe(2)  # noqa: SLF001  who imports this: Python has no public way to ask
    except (AttributeError, ValueError):  # another Python, or somebody's own way to import
        return
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("importlib"):
        asked, frame = frame.f_locals.get("name", asked), frame.f_back
    if asked == __name__ and frame.f_globals.get("__name__") == "celery.loaders.base":
        raise ImportError("otel_celery itself switches nothing on in a worker: write -I otel_celery.hook")


def __getattr__(name: str) -> Any:
    """Import Celery and the SDK at first use: entry points load this package before gevent has patched anything."""
    if name in {"Instrumentation", "instrument"}:
        from otel_celery import worker  # noqa: PLC0415

        return getattr(worker, name)
    raise AttributeError(name)


_refuse_to_be_included()
