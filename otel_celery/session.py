"""One observed worker: the one place that knows all rooms, and joins them.

The port is opened, and pushing begun, by a bootstep, once the pool has forked; both end with ``worker_shutdown``, which
comes after the pool has drained, or at process exit, which is all that a cold shutdown has.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals

from otel_celery.lifecycle import Where, guarded
from otel_celery.observe.children import has_processes
from otel_celery.observe.watch import Watch
from otel_celery.record.providers import Recording
from otel_celery.relay.hub import Hub
from otel_celery.relay.sdk import SdkMovedError
from otel_celery.serve.access import AccessError
from otel_celery.serve.forks import gate
from otel_celery.serve.health import WorkerHealth
from otel_celery.serve.server import open_endpoint
from otel_celery.settings import EX_CONFIG
from otel_celery.spawned import say_goodbye
from otel_celery.step import pool_step

if TYPE_CHECKING:
    from otel_celery.record.pushers import Pushers
    from otel_celery.serve.server import Endpoint
    from otel_celery.settings import Port, Settings
    from otel_celery.trace.pool import WorkerTraces

logger = logging.getLogger("otel_celery")

END_SECONDS = 2.0
"""How long a worker's end may wait for its children's metrics and for its last values; spans have their own bound."""


class Session:
    """One worker, observed, recorded and served."""

    def __init__(self, worker: Any, settings: Settings, traces: WorkerTraces | None = None) -> None:
        """Join the rooms; nothing of the worker is touched before :meth:`install`."""
        self._worker = worker
        self._settings = settings
        self._traces = traces
        self._recording = Recording(settings, worker.hostname, str(worker.app.main or "celery"))
        self._watch = Watch(worker, self._recording.tallies, None if traces is None else traces.lost)
        self._recording.register(self._watch.levels)
        self.problems = list(self._recording.pushers.problems) if self._recording.pushers is not None else []
        """Sentences about exporters that cannot be had; the rest works without them."""
        self._endpoint: Endpoint | None = None
        self._hub: Hub | None = None
        self._owner = os.getpid()
        self._is_closed = False
        self._step = pool_step(self.pool_prepared, self.pool_started)

    def install(self) -> None:
        """Put everything in place in the worker."""
        self._watch.install()
        if self._settings.child_metrics and self._settings.enabled:
            self._open_hub()
        self._worker.app.steps["worker"].add(self._step)
        signals.worker_shutdown.connect(self._on_worker_shutdown, weak=False)
        atexit.register(self._on_exit)

    def uninstall(self) -> None:
        """Unhook, as far as a running worker can be left alone."""
        self._watch.uninstall()
        self.close()

    def pool_prepared(self) -> None:
        """Have spans made, before the pool forks and after every handler of ``worker_init``."""
        if self._traces is None or self._is_closed:
            return
        if self._is_green and self._traces.has_grpc:
            self._refuse(self._no_grpc("no spans are made by", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"))
        else:
            guarded(self._recording.tallies, Where.REQUEST, self._traces.begin, self._on_trace_error)

    def pool_started(self) -> None:
        """Serve the metrics, from now or from when the port is free, and push them.

        Raises SystemExit where the environment is strict and the port is taken, or its TLS cannot be used.
        """
        guarded(self._recording.tallies, Where.CHILDREN, self._watch.children.look)
        if self._hub is not None and not self._is_closed:
            guarded(self._recording.tallies, Where.RELAY, self._hub.start)
        if self._settings.port is not None and not self._is_closed:
            guarded(self._recording.tallies, Where.PORT, self._open, self._settings.port)
        if self._recording.pushers is not None and not self._is_closed:
            guarded(self._recording.tallies, Where.PUSH, self._start_pushing, self._recording.pushers)

    def _open_hub(self) -> None:
        """Have what tasks record reach our readers; where that cannot be, all else goes on."""
        tallies = self._recording.tallies
        hub = Hub(
            self._recording.provider,
            is_ours=self._recording.is_ours,
            label_length=self._settings.bounds.label_length,
            gate=gate(),
            lost=tallies.metrics_dropped,
            failed=partial(tallies.swallowed, Where.RELAY),
        )
        try:
            hub.open(os.environ, has_children=has_processes(self._worker))
        except (SdkMovedError, OSError) as error:
            # Celery has not set up logging when a worker is initialised.
            sys.stderr.write(f"otel-celery: WARNING: what tasks record with OpenTelemetry is not shown: {error}\n")
        else:
            self._hub = hub
            signals.worker_process_shutdown.connect(say_goodbye, weak=False)

    def _open(self, port: Port) -> None:
        if port.number == port.standard and self._recording.serves_port():
            self._refuse(
                "the OpenTelemetry SDK of this process already serves a Prometheus port of its own, which every pool "
                "process inherits; set OTEL_METRICS_EXPORTER=none (and PROMETHEUS_ENABLED=true, "
                f"PROMETHEUS_PORT={port.number}) to have worker {self._worker.hostname} served by otel-celery"
            )
            return
        try:
            self._endpoint = open_endpoint(
                port,
                self._recording.registry,
                WorkerHealth(self._watch.levels),
                on_open=self._on_open,
                on_taken=partial(self._on_taken, port),
                on_error=lambda _, error: self._recording.tallies.swallowed(Where.PORT, error),
            )
        except AccessError as error:
            self._refuse(
                f"no metrics are served for worker {self._worker.hostname}: {error}; OTEL_PYTHON_CELERY_TLS_CERT_FILE, "
                "_TLS_KEY_FILE and _TLS_CLIENT_CA_FILE must name files that belong together"
            )

    def _start_pushing(self, pushers: Pushers) -> None:
        name = self._worker.hostname
        if self._recording.pushes_already():
            logger.info(
                "otel-celery: the SDK's MeterProvider of this process pushes the metrics of worker %s by itself", name
            )
            return
        if self._is_green and pushers.has_grpc():
            pushers.leave_out_grpc()
            self._refuse(self._no_grpc("no metrics are pushed by", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"))
        for place in self._recording.start_pushing(gate().hold):
            logger.info("otel-celery: metrics of worker %s are pushed to %s", name, place)
        for problem in pushers.problems:
            self._refuse(problem)

    @property
    def _is_green(self) -> bool:
        return self._watch.levels.info()["pool_kind"] in {"gevent", "eventlet"}

    def _no_grpc(self, what: str, variable: str) -> str:
        return (
            f"{what} worker {self._worker.hostname}: gRPC would stop all its greenlets while it waits; "
            f"set {variable}=http/protobuf (or OTEL_EXPORTER_OTLP_PROTOCOL)"
        )

    def close(self) -> None:
        """Push the last values, close the port and stop exporting; only in the process that began it, and once."""
        until = time.monotonic() + END_SECONDS
        if self._end():
            self._flush(until)
            guarded(self._recording.tallies, Where.PORT, self._close)
            if self._traces is not None:
                guarded(self._recording.tallies, Where.REQUEST, self._traces.uninstrument)

    def _on_exit(self) -> None:
        """Do the same at the process's end, but leave the books open: the SDK flushes its own readers after this."""
        until = time.monotonic() + END_SECONDS
        if self._end():
            self._flush(until)
            if self._endpoint is not None:
                guarded(self._recording.tallies, Where.PORT, self._endpoint.close)

    def _flush(self, until: float) -> None:
        """Have metrics sent, and wait for them and for the spans, which are on their way meanwhile."""
        guarded(self._recording.tallies, Where.PUSH, self._recording.flush, until)
        if self._traces is not None:
            guarded(self._recording.tallies, Where.REQUEST, self._traces.wait)

    def _end(self) -> bool:
        if self._is_closed or os.getpid() != self._owner:
            return False
        self._is_closed = True
        atexit.unregister(self._on_exit)
        self._worker.app.steps["worker"].discard(self._step)
        signals.worker_shutdown.disconnect(self._on_worker_shutdown)
        if self._traces is not None:
            guarded(self._recording.tallies, Where.REQUEST, self._traces.send)
        if self._hub is not None:
            signals.worker_process_shutdown.disconnect(say_goodbye)
            guarded(self._recording.tallies, Where.RELAY, self._hub.close)  # first: the rest exports what it heard
        return True

    def _close(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
        self._recording.close()

    def _on_trace_error(self, error: Exception) -> None:
        self._recording.tallies.swallowed(Where.REQUEST, error)

    def _on_open(self, number: int) -> None:
        logger.info("📊 Prometheus metrics server started on port %d for worker %s", number, self._worker.hostname)

    def _on_taken(self, port: Port, error: OSError) -> None:
        advice = "set PROMETHEUS_PORT to a free port"
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            advice = f"OTEL_EXPORTER_PROMETHEUS_HOST={port.host!r} must be an address of this machine"
        text = (
            f"port {port.number} cannot be opened for worker {self._worker.hostname} (pid {os.getpid()}): "
            f"{error.strerror or error}; {advice}"
        )
        runs_on = "; the worker runs on, and opening it is tried again until it succeeds"
        self._refuse(text if self._settings.strict else text + runs_on)

    def _refuse(self, sentence: str) -> None:
        """Say what is wrong, and end the worker where the environment is strict."""
        logger.error("otel-celery: %s", sentence)
        if self._settings.strict:
            raise SystemExit(EX_CONFIG)

    def _on_worker_shutdown(self, sender: Any = None, **_: object) -> None:
        if sender is self._worker:
            guarded(self._recording.tallies, Where.CONSUMER, self._watch.drained)
            self.close()
