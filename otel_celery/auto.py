"""Entry points for ``opentelemetry-instrument celery -A proj worker``.

They run before any app exists, and before gevent or eventlet have patched the standard library. So this module must not
import Celery at module level.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_celery.commandline import is_spawned_child, is_worker

if TYPE_CHECKING:
    from collections.abc import Collection


class CeleryWorkerInstrumentor(BaseInstrumentor):
    """Instruments every worker of this process, as ``otel_celery.instrument`` does the workers of one app."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Name the versions of Celery that this works with."""
        return ("celery >= 5.4",)

    def _instrument(self, **_: Any) -> None:
        from celery import signals  # noqa: PLC0415  not before the pool's patches

        signals.worker_init.connect(_on_worker_init, weak=False)
        if is_spawned_child(sys.orig_argv):
            signals.worker_process_init.connect(_on_worker_process_init, weak=False)
        elif not is_worker(sys.argv, sys.orig_argv):
            _stamp()

    def _uninstrument(self, **_: Any) -> None:
        from celery import signals  # noqa: PLC0415

        signals.worker_init.disconnect(_on_worker_init)
        signals.worker_process_init.disconnect(_on_worker_process_init)
        if "otel_celery.publish.header" in sys.modules:
            from otel_celery.publish import header  # noqa: PLC0415  as above

            header.stamp_nothing()


def pre_instrument() -> None:
    """Apply gevent's or eventlet's patches before any instrumentation imports Celery.

    opentelemetry-instrumentation-celery imports ``celery.worker.request`` when it is loaded. A gevent or eventlet pool
    whose patches come after that import runs no task at all.
    """
    if is_worker(sys.argv, sys.orig_argv):
        import celery  # noqa: PLC0415

        celery.maybe_patch_concurrency(sys.argv)


def _stamp() -> None:
    """Put the time of publishing on every message of a process that is no worker, whose apps nobody names here."""
    from otel_celery.publish import header  # noqa: PLC0415  as above
    from otel_celery.settings import settings  # noqa: PLC0415

    if settings.sends_header(os.environ):
        header.stamp_everything()


def _on_worker_init(sender: Any, **kwargs: Any) -> None:
    from otel_celery.worker import on_worker_init  # noqa: PLC0415

    on_worker_init(sender, **kwargs)


def _on_worker_process_init(**kwargs: Any) -> None:
    from otel_celery.worker import on_worker_process_init  # noqa: PLC0415

    on_worker_process_init(**kwargs)
