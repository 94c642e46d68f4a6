"""A worker's spans: how its tracing begins and ends, which differs by whether its pool has processes."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import billiard

from otel_celery.trace import log
from otel_celery.trace.process import ProcessTracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.lifecycle import RunObserver
    from otel_celery.settings.traces import Traces

HOOK = "otel_celery.hook"
"""Imported by a child that is spawned, as the ``-I`` modules are; it hears ``worker_process_init`` there."""


class WorkerTraces:
    """The tracing of one worker."""

    def __init__(self, worker: Any, settings: Traces) -> None:
        """Import what is needed, at ``worker_init``: in a pool's child that would cost a tenth of a second.

        Raises LookupError, with a sentence for the operator, where an exporter is not installed.
        """
        self._settings = settings
        self._tracing = ProcessTracing(settings, described(worker.app, worker.hostname), self._on_error)
        self._sent_at = 0.0
        self._hear: Callable[[Exception], None] | None = None
        if settings.log_ids:
            log.add_ids()
            log.add_to_format(worker.app)

    @property
    def lost(self) -> RunObserver:
        """Who follows the runs that a child may not live to tell of."""
        return self._tracing.lost

    @property
    def has_grpc(self) -> bool:
        """Tell whether its spans are to leave by gRPC."""
        return self._settings.has_grpc

    def begin(self, worker: Any, hear: Callable[[Exception], None]) -> None:
        """Instrument the worker: after every handler of ``worker_init``, and before the pool forks.

        ``hear`` is told of exceptions of ours.
        """
        from celery.concurrency.prefork import TaskPool  # noqa: PLC0415  publishers need nothing of it: see ``contrib``

        self._hear = hear
        self._tracing.has_hub = worker.pool_cls.__module__.endswith((".gevent", ".eventlet"))
        if not issubclass(worker.pool_cls, TaskPool):
            self._tracing.start()
            return
        self._tracing.start_pool()
        app = worker.app
        if "spawn" in {app.conf.get("worker_pool_start_method"), billiard.get_start_method()}:
            app.conf.include = [*(name for name in app.conf.include if name != HOOK), HOOK]

    def send(self) -> None:
        """Have the main process's last spans sent, without waiting for it."""
        self._sent_at = time.monotonic()
        self._tracing.send()

    def wait(self) -> None:
        """Wait for them, within the bound, which began when they were to be sent."""
        self._tracing.wait(self._sent_at + self._settings.flush_seconds)

    def uninstrument(self) -> None:
        """Make no more spans."""
        self._tracing.uninstrument()

    def _on_error(self, error: Exception) -> None:
        if self._hear is not None:
            self._hear(error)


def described(app: Any, worker: str | None = None) -> dict[str, str]:
    """Describe a process of this app: the service, and the worker, which a span's ``celery.hostname`` does not name."""
    attributes = {"service.name": str(app.main or "celery"), "host.name": socket.gethostname()}
    if worker is not None:
        attributes |= {"celery.worker.name": worker, "celery.pool.name": worker.partition("@")[0]}
    return attributes


def begin_spawned(app: Any, worker: str, settings: Traces, on_error: Callable[[Exception], None]) -> None:
    """Instrument a pool's child that inherited nothing."""
    ProcessTracing(settings, described(app, worker), on_error).start_child()
    if settings.log_ids:
        log.add_ids()
