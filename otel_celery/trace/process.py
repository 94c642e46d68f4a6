"""The tracing of one process and its pool children: begins before the fork, and flushes spans when a process ends.

Contrib is switched on as late as possible, and not at all if the application, ``opentelemetry-instrument`` or logfire
has instrumented Celery already. Then we only flush the spans of a pool child before it exits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from billiard.util import Finalize
from celery import signals
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_celery import forks, native
from otel_celery.trace import contrib, exporters, ids, provider
from otel_celery.trace.courier import Courier, bounded, keep_doing
from otel_celery.trace.insistence import Insistence
from otel_celery.trace.lost import LostRuns
from otel_celery.trace.runs import Runs
from otel_celery.trace.spans import ProcessSpans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.settings.traces import Traces

SCOPE = "otel_celery"

SEND_SECONDS = 1.0
"""Seconds between two exports of a patched process without a running hub, whose batch threads are idle greenlets."""


class ProcessTracing:
    """Makes the spans of one process and of its pool children, and flushes them when a process ends."""

    def __init__(self, settings: Traces, attributes: Mapping[str, str], on_error: Callable[[Exception], None]) -> None:
        """Import the exporters and make the provider; nothing is instrumented yet.

        ``attributes`` are the resource's, with ``service.name``; ``on_error`` gets our exceptions from now on.
        Raises RefusedError, with a sentence for the operator, if an exporter or the id generator cannot be had.
        """
        self._settings = settings
        self._on_error = on_error
        self._outage = exporters.Outage()
        self._makers = exporters.load(settings.exporters, self._outage)
        self._ids = ids.generator(settings.id_generator)
        self._spans = ProcessSpans(self._batches)
        self._own = provider.make(self._ids, self._spans, attributes)
        self._courier: Courier | None = None
        self._sending: Callable[[float], bool] | None = None
        """What waits for the sending that has begun."""
        self._is_ours = False
        self._is_over = False
        self._forks_children = False
        self._insistence = Insistence()
        self._runs = Runs(self._ids, self._spans, self._insistence)
        self.has_hub = True
        """Whether the hub of gevent or eventlet runs in this process, if it is patched; in a pool child none runs."""
        self.lost = LostRuns(self._own, self._ids, SCOPE)
        """The observer of lost runs, switched on by :meth:`start_pool`."""

    # -- beginning -------------------------------------------------------------------------------------------------

    def start(self, begin: Callable[..., None] | None = None) -> None:
        """Make the spans of this process: a publisher, or a worker whose pool has no processes.

        ``begin`` replaces contrib's handler of ``before_task_publish``.
        """
        self._instrument(begin)
        self._offer()
        self._courier = Courier(self._on_error)

    def start_pool(self) -> None:
        """Make the spans of messages that the main process of a process pool publishes, and prepare its children.

        The global provider is not set, since the application may set one in each child (``worker_process_init``).
        """
        self._instrument()
        signals.worker_process_init.connect(self._on_child, weak=False)
        signals.beat_embedded_init.connect(self._on_beat, weak=False)
        signals.worker_process_shutdown.connect(self._on_child_end, weak=False)
        if not self._is_ours:
            return
        self._forks_children = True
        forks.after_each_fork(self._forked)
        self._courier = Courier(self._on_error)
        if provider.application_provider() is None:
            self.lost.switch_on(self._courier)

    def start_child(self) -> None:
        """Make the spans of a spawned pool child."""
        signals.worker_process_shutdown.connect(self._on_child_end, weak=False)
        self._on_child()

    def _instrument(self, begin: Callable[..., None] | None = None) -> None:
        """Switch contrib on, unless it is on already, with the application's provider or else ours."""
        self._is_ours = not contrib.is_on()
        if self._is_ours:
            self._runs.connect()
            contrib.switch_on(provider.application_provider() or self._own, self._insistence.whole, begin)

    def _offer(self) -> None:
        """If no global TracerProvider is set, set ours, so that other instrumentations' spans are exported with it."""
        if provider.application_provider() is None:
            provider.offer(self._own)

    def _batches(self) -> list[BatchSpanProcessor]:
        """Make this process's batch processors, when its first span ends."""
        if self._courier is not None and not self._courier.is_here:
            self._courier = Courier(self._on_error)  # in a forked publisher, which has no thread of its parent
        batches = [BatchSpanProcessor(make()) for make in self._makers]
        if not self.has_hub and native.is_patched():  # the processors' threads are greenlets
            for batch in batches:
                keep_doing(SEND_SECONDS, batch.force_flush, self._on_error, lambda: self._is_over)
        return batches

    # -- in a pool's child -----------------------------------------------------------------------------------------

    def _forked(self) -> None:
        """Undo the instrumentation in a new child, so that the application's handlers may instrument it first."""
        if self._forks_children:
            self._forks_children = False
            self._courier = None
            self.lost.switch_off()
            self._runs.disconnect()
            contrib.switch_off()

    def _on_child(self, **_: object) -> None:
        """Instrument a child, after the application's own handlers of the same signal."""
        self.has_hub = False
        self._instrument()
        self._offer()

    def _on_beat(self, **_: object) -> None:
        """Instrument the process of a worker's beat (``-B``), which billiard ends, without a signal of Celery's."""
        self._on_child()
        Finalize(None, self._on_child_end, exitpriority=0)

    def _on_child_end(self, **_: object) -> None:
        """Send a child's last spans, within the bound: the child's slot in the pool stays empty meanwhile."""
        flush = self._flush()
        if flush is not None and not bounded(self._settings.flush_seconds, flush, self._on_error):
            self._tell_late()

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send the spans that have ended in this process, within the bound; later spans are sent too."""
        self.send()
        self.wait(time.monotonic() + self._settings.flush_seconds)

    def send(self) -> None:
        """Begin to send the spans that have ended in this process, without waiting."""
        flush, self._sending = self._flush(), None
        if self._courier is not None and self._courier.is_here and flush is not None:
            self._courier.ask(flush)
            self._sending = self._courier.mark()

    def wait(self, until: float) -> None:
        """Wait for the sending that has begun, until this time of the monotonic clock."""
        sending, self._sending = self._sending, None
        if sending is not None and not sending(max(0.0, until - time.monotonic())):
            self._tell_late()

    def _tell_late(self) -> None:
        """Log once an outage that the bound was too short, unless the operator has asked for no waiting at all."""
        if self._settings.flush_seconds:
            self._outage.tell(
                "otel-celery: the last spans of a process could not be sent within %g s, and may be lost: it waits no "
                "longer at its end. See that the collector answers, or raise OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT. "
                "This is said once, until spans can be sent.",
                self._settings.flush_seconds,
            )

    def uninstrument(self) -> None:
        """Make no more spans."""
        self._is_over = True
        signals.worker_process_init.disconnect(self._on_child)
        signals.beat_embedded_init.disconnect(self._on_beat)
        signals.worker_process_shutdown.disconnect(self._on_child_end)
        self._runs.disconnect()
        self._forks_children = False
        self.lost.switch_off()
        if self._is_ours:
            self._is_ours = False
            contrib.switch_off()
        provider.withdraw(self._own)
        courier, self._courier = self._courier, None
        if courier is not None and courier.is_here:
            courier.ask(self._spans.shutdown)
            courier.dismiss()

    def _flush(self) -> Callable[[], Any] | None:
        """Return the function that flushes this process's spans; None if the application's provider has none."""
        found = provider.application_provider()
        if found is None:
            return self._spans.force_flush
        flush: Callable[[], Any] | None = getattr(found, "force_flush", None)
        return flush
