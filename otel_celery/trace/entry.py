"""Set up spans as the environment asks: in a worker, in a process that only publishes, and in a spawned pool child.

The other modules of this package are imported only if the environment asks for spans.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from celery import current_app

from otel_celery.forks import Home
from otel_celery.masking import reason
from otel_celery.saying import say
from otel_celery.settings import settings as environment
from otel_celery.settings.reader import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.settings.traces import Traces
    from otel_celery.trace.publisher import PublisherTraces
    from otel_celery.trace.worker import WorkerTraces

logger = logging.getLogger("otel_celery")

_spawned: list[Home] = []
"""The processes that were instrumented as spawned children: this one, or one that it was forked from."""


def for_worker(worker: Any, settings: Traces | None, fail: Callable[[str], None]) -> WorkerTraces | None:
    """Prepare a worker's spans; return None without a setting for them, or after ``fail`` got the reason."""
    if settings is None:
        return None
    try:
        from otel_celery.trace.worker import WorkerTraces  # noqa: PLC0415  only where spans are asked for

        return WorkerTraces(worker, settings)
    except Exception as error:  # noqa: BLE001  the SDK's for an unknown propagator too
        fail(f"{reason(error)}; traces are off")
        return None


def for_publisher(app: Any) -> PublisherTraces | None:
    """Prepare the spans of the messages that this process publishes, if the environment asks for spans."""
    settings = _asked_for()
    if settings is None:
        return None
    try:
        from otel_celery.trace.publisher import PublisherTraces  # noqa: PLC0415  only where spans are asked for
        from otel_celery.trace.worker import described  # noqa: PLC0415

        return PublisherTraces(settings, described(app))
    except Exception as error:  # noqa: BLE001  as in for_worker
        _say(error)
        return None


def for_spawned_child(worker: str) -> None:
    """Make spans in a spawned pool child, which inherits nothing from its worker."""
    settings = _asked_for()
    if settings is None or any(home.is_here for home in _spawned):
        return
    _spawned.append(Home())
    try:
        from otel_celery.trace.worker import begin_spawned  # noqa: PLC0415  only where spans are asked for

        begin_spawned(current_app, worker, settings, _log)
    except Exception as error:  # noqa: BLE001  as in for_worker
        _say(error)


def _asked_for() -> Traces | None:
    """Read the environment; in a worker, leave it to the worker to report a bad value."""
    try:
        return environment.traces(os.environ)
    except SettingsError as error:
        if "worker" not in sys.argv:  # of ``celery worker``, which reports it once it is initialised
            _say(error)
        return None


def _say(error: Exception) -> None:
    say(logging.ERROR, f"{reason(error)}; traces are off in process {os.getpid()}")


def _log(error: Exception) -> None:
    logger.error("otel-celery: an error of its own was kept from the process", exc_info=error)
