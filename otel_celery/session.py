"""The instrumentation of one worker: makes its observers, recording, port, relay and spans, and connects them.

This is the only module that imports all of these packages. A bootstep opens the port and begins to push, once the pool
has forked. Both end when the worker is over, which is after its pool has drained, or at process exit.

A process may have many workers, one after the other or at once. A session lives as long as its worker: everything that
outlives the worker (signals, the SDK's instruments, ``atexit``, the port's thread) refers to it weakly or not at all.
"""

from __future__ import annotations

import logging
import os
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_celery.controller import observe_life
from otel_celery.forks import gate
from otel_celery.freezing import Pause, freeze
from otel_celery.lifecycle import Where, guarded
from otel_celery.masking import reason
from otel_celery.observe.children import (
    collects_before_forks,
    forks_processes,
    has_processes,
    starts_beat,
    surround_starts,
    warm_up,
)
from otel_celery.observe.watch import Watch
from otel_celery.outlets import Outlets
from otel_celery.outward import Outward
from otel_celery.record.recording import Recording
from otel_celery.saying import say
from otel_celery.step import add_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from otel_celery.settings.settings import Port, Settings
    from otel_celery.trace.worker import WorkerTraces

logger = logging.getLogger("otel_celery")


class Session:
    """One worker, observed, recorded and served."""

    def __init__(self, worker: Any, settings: Settings, traces: WorkerTraces | None = None) -> None:
        """Make the parts; the worker itself stays untouched until :meth:`install`."""
        self._worker = worker
        self._settings = settings
        self._traces = traces
        self._recording = Recording(settings, worker.hostname, str(worker.app.main or "celery"))
        self._watch = Watch(worker, self._recording.tallies, None if traces is None else traces.lost)
        self._levels = weakref.proxy(self._watch.levels)  # for the SDK and the port, which outlive the worker
        self._recording.register(self._levels)
        self._outward = Outward(
            f"worker {worker.hostname}", self._recording, self._recording.tallies, strict=settings.strict, host="worker"
        )
        self._outlets = Outlets(self._recording, self._outward, traces)
        self._starting: Callable[[], AbstractContextManager[None]] | None = None
        """A context manager around the start of each child, so that the child is known as this worker's."""
        self.publishes = self._recording.publishes(settings) if settings.enabled else None
        """Counts what this worker publishes, also in its pool's children; None with metrics off."""
        self._was_over = False
        self._is_frozen = False
        self._pause = Pause()
        self.on_end: Callable[[], None] = lambda: None
        self.warnings: list[str] = []
        """Sentences about other parts that do not work, such as the relay."""

    def install(self) -> None:
        """Attach to the worker's consumer, blueprint, end and pool children."""
        self._outlets.watch(self._worker)
        self._watch.install()
        if self._settings.enabled:
            self._open_relay()
        add_step(self._worker, self.pool_prepared, self.pool_started)
        observe_life(self._worker, self._on_start, self._on_over)

    def uninstall(self) -> None:
        """Stop observing and exporting; the hooks that a running worker cannot lose stay, without effect."""
        self._pause.end()
        self._watch.uninstall()
        self._outlets.close()
        self.on_end()

    @property
    def is_over(self) -> bool:
        """Tell whether everything is closed."""
        return self._outlets.is_closed

    def pool_prepared(self) -> None:
        """Have children known as this worker's, and ready to share memory; switch spans on.

        Called before the pool forks and after every handler of ``worker_init``.

        Raises SystemExit in a strict environment if this pool cannot have spans.
        """
        if self._outlets.is_closed:
            return
        if self._starting is not None:
            guarded(self._recording.tallies, Where.CHILDREN, surround_starts, self._worker.pool, self._starting)
        if self._traces is not None:
            self._begin_traces(self._traces)
        if forks_processes(self._worker):
            guarded(self._recording.tallies, Where.CHILDREN, warm_up)
        if self._settings.gc_freeze:
            guarded(self._recording.tallies, Where.CHILDREN, self._freeze)

    def _begin_traces(self, traces: WorkerTraces) -> None:
        if self._is_green and traces.has_grpc:
            try:
                self._outward.refuse(
                    self._outward.no_grpc("no spans are made by", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
                )
            except SystemExit:
                self.uninstall()  # the worker is not complete, so that nothing else would stop it
                raise
        else:
            swallowed = partial(self._recording.tallies.swallowed, Where.REQUEST)
            guarded(self._recording.tallies, Where.REQUEST, traces.begin, self._worker, swallowed)

    def _freeze(self) -> None:
        """Have all children share memory, and tell the operator what that means, or that it cannot be had."""
        if not forks_processes(self._worker):
            say(
                logging.WARNING,
                f"OTEL_PYTHON_CELERY_GC_FREEZE has no effect on worker {self._worker.hostname}: its pool forks no "
                "processes, which could share memory",
            )
            return
        number = freeze()
        self._is_frozen = True
        logger.info(
            "otel-celery: %d objects of worker %s are frozen before its pool forks (OTEL_PYTHON_CELERY_GC_FREEZE): "
            "its processes share their memory, and no cycle among these objects is ever collected as garbage",
            number,
            self._worker.hostname,
        )

    def pool_started(self) -> None:
        """Open the port, or keep trying until it is free, and begin to push.

        Raises SystemExit in a strict environment if the port is taken, or its TLS files cannot be used.
        """
        self._pause.end()
        if self._was_over:
            say(logging.WARNING, f"worker {self._worker.hostname} was over and is started again: it has no metrics now")
        if self._outlets.is_closed:
            return
        guarded(self._recording.tallies, Where.CHILDREN, self._watch.children.look)
        if self._outlets.relay is not None:
            guarded(self._recording.tallies, Where.RELAY, self._outlets.relay.start)
        if self._settings.queues.in_worker and self._settings.enabled:
            guarded(self._recording.tallies, Where.QUEUES, self._ask_queues)
        if self._settings.port is not None:
            self._serve(self._settings.port)
        may_be_late = has_processes(self._worker) and not self._is_frozen
        self._outward.push(is_green=self._is_green, may_be_late=may_be_late)
        if self._is_frozen:  # what was imported since, for the children that are forked later
            guarded(self._recording.tallies, Where.CHILDREN, freeze)

    def _serve(self, port: Port) -> None:
        with gate().importing():
            from otel_celery.serve.health import WorkerHealth  # noqa: PLC0415  no child needs it
        self._outward.serve(port, WorkerHealth(self._levels), may_be_late=not self._is_frozen)

    def _open_relay(self) -> None:
        """Collect the metrics that tasks record themselves; without them everything else goes on."""
        tallies = self._recording.tallies
        try:
            from otel_celery.relay.main.relay import Relay  # noqa: PLC0415  it needs private names of the SDK

            relay = Relay(
                self._recording.provider,
                is_ours=self._recording.is_ours,
                label_length=self._settings.bounds.label_length,
                gate=gate(),
                lost=tallies.metrics_dropped,
                failed=partial(tallies.swallowed, Where.RELAY),
            )
            if has_processes(self._worker):
                self._starting = relay.starting
            if not self._settings.child_metrics:
                relay.collect_apart()
                return
            relay.open(os.environ, has_children=has_processes(self._worker) or starts_beat(self._worker))
        except Exception as error:  # noqa: BLE001  a name that the SDK has moved, or no socket
            self.warnings.append(f"what tasks record with OpenTelemetry is not shown: {reason(error)}")
        else:
            self._outlets.take(relay)

    def _ask_queues(self) -> None:
        """Ask the broker for the app's queues, over a connection of their own."""
        from otel_celery.queues import names, readings  # noqa: PLC0415  most workers do not
        from otel_celery.queues.refresher import Refresher  # noqa: PLC0415  the same
        from otel_celery.record.labels import MAX_ASKED_QUEUES, Labels  # noqa: PLC0415  the same

        app, tallies = self._worker.app, self._recording.tallies
        tallies.errors.expect(Where.QUEUES)
        self._outlets.refresher = Refresher(app.connection_for_read, names.of_app(app), self._settings.queues, tallies)
        labels = Labels(self._settings.bounds, tallies.folded, MAX_ASKED_QUEUES)  # the worker's own keep their places
        self._recording.show(readings.of(self._outlets.refresher, labels.queue))
        self._outlets.refresher.start()

    @property
    def _is_green(self) -> bool:
        return self._watch.levels.info()["pool_kind"] in {"gevent", "eventlet"}

    def _on_start(self) -> None:
        """Have nothing to collect while the pool forks; not before, since not every worker that is made is started."""
        is_wanted = not self._outlets.is_closed and not self._settings.gc_freeze
        if is_wanted and collects_before_forks(self._worker):
            guarded(self._recording.tallies, Where.CHILDREN, self._pause.begin)

    def _on_over(self) -> None:
        if not self._outlets.is_closed:
            guarded(self._recording.tallies, Where.CONSUMER, self._watch.drained)
            self._was_over = True
            self.uninstall()
