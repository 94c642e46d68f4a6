"""Begin and end the tracing of a worker, which differs between pools with and without processes."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import billiard
from opentelemetry import metrics

from otel_celery.export import plugins
from otel_celery.settings import variables
from otel_celery.trace import log
from otel_celery.trace.process import ProcessTracing
from otel_celery.trace.provider import application_provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.observers import RunObserver
    from otel_celery.settings.traces import Traces

HOOK = "otel_celery.hook"
"""A module that spawned children import, like the ``-I`` modules; it handles ``worker_process_init`` there."""


class WorkerTraces:
    """The tracing of one worker."""

    def __init__(self, worker: Any, settings: Traces) -> None:
        """Import the exporters at ``worker_init``: the imports would take a tenth of a second in each pool child.

        Raises RefusedError, with a sentence for the operator, if an exporter or the id generator cannot be had.
        """
        application_provider()  # one that cannot be made is said now, and not when the pool starts
        plugins.provided(metrics.get_meter_provider, variables.METER_PROVIDER.name)  # for which the SDK's spans ask
        self._settings = settings
        self._tracing = ProcessTracing(settings, described(worker.app, worker.hostname), self._on_error)
        self._sent_at = 0.0
        self._hear: Callable[[Exception], None] | None = None
        if settings.log_ids:
            log.add_ids()
            log.add_to_format(worker.app)

    @property
    def lost(self) -> RunObserver:
        """The observer of lost runs."""
        return self._tracing.lost

    @property
    def has_grpc(self) -> bool:
        """Whether an exporter of spans uses gRPC."""
        return self._settings.has_grpc

    def begin(self, worker: Any, hear: Callable[[Exception], None]) -> None:
        """Instrument the worker; called after every handler of ``worker_init``, and before the pool forks.

        ``hear`` gets exceptions of ours.
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
        """Begin to send the main process's last spans, without waiting."""
        self._sent_at = time.monotonic()
        self._tracing.send()

    def wait(self) -> None:
        """Wait for the last spans, for the flush timeout since :meth:`send` at most."""
        self._tracing.wait(self._sent_at + self._settings.flush_seconds)

    def uninstrument(self) -> None:
        """Make no more spans."""
        self._tracing.uninstrument()

    def _on_error(self, error: Exception) -> None:
        if self._hear is not None:
            self._hear(error)


def described(app: Any, worker: str | None = None) -> dict[str, str]:
    """Return the resource attributes of a process; the worker is one, since a span's ``celery.hostname`` is another."""
    attributes = {"service.name": str(app.main or "celery"), "host.name": socket.gethostname()}
    if worker is not None:
        attributes |= {"celery.worker.name": worker, "celery.pool.name": worker.partition("@")[0]}
    return attributes


def begin_spawned(app: Any, worker: str, settings: Traces, on_error: Callable[[Exception], None]) -> None:
    """Instrument a spawned pool child."""
    ProcessTracing(settings, described(app, worker), on_error).start_child()
    if settings.log_ids:
        log.add_ids()
