"""One process's spans, and those of the processes that are forked from it: made once, before any fork.

Whoever instruments Celery first has it: contrib is switched on as late as can be, and left alone where the
application, ``opentelemetry-instrument`` or logfire has done so. Then only the flush is added that a pool child lacks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

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
"""How often a process sends its spans that gevent or eventlet has patched, and that turns no hub of theirs."""


class ProcessTracing:
    """Makes the spans of one process and of its pool's children, and flushes them when either ends."""

    def __init__(self, settings: Traces, attributes: Mapping[str, str], on_error: Callable[[Exception], None]) -> None:
        """Import what is needed, and touch nothing.

        ``attributes`` describe the process, ``service.name`` among them; ``on_error`` hears of what goes wrong later.
        Raises RefusedError, with a sentence for the operator, where what the environment names cannot be had.
        """
        self._settings = settings
        self._on_error = on_error
        self._makers = exporters.load(settings.exporters, exporters.Outage())
        self._ids = ids.generator(settings.id_generator)
        self._spans = ProcessSpans(self._batches)
        self._own = provider.make(self._ids, self._spans, attributes)
        self._courier: Courier | None = None
        self._is_ours = False
        self._is_over = False
        self._forks_children = False
        self._insistence = Insistence()
        self._runs = Runs(self._ids, self._spans, self._insistence)
        self.has_hub = True
        """Whether greenlets get their turn in this process, should it be patched: a pool's child turns no hub."""
        self.lost = LostRuns(self._own, self._ids, SCOPE)
        """Follows the runs of a pool of processes, once :meth:`start_pool` has been called."""

    # -- beginning -------------------------------------------------------------------------------------------------

    def start(self, begin: Callable[..., None] | None = None) -> None:
        """Make the spans of this process: a publisher, or a worker whose tasks run in it.

        ``begin`` hears ``before_task_publish`` in contrib's place.
        """
        self._instrument(begin)
        self._offer()
        self._courier = Courier(self._on_error)

    def start_pool(self) -> None:
        """Make the spans that the main process of a pool of processes publishes, and have its children make theirs.

        The global provider is left to the children, who may set their own in ``worker_process_init``.
        """
        self._instrument()
        signals.worker_process_init.connect(self._on_child, weak=False)
        signals.beat_embedded_init.connect(self._on_child, weak=False)
        signals.worker_process_shutdown.connect(self._on_child_end, weak=False)
        if not self._is_ours:
            return
        self._forks_children = True
        forks.after_each_fork(self._forked)
        self._courier = Courier(self._on_error)
        if provider.application_provider() is None:
            self.lost.switch_on(self._courier)

    def start_child(self) -> None:
        """Make the spans of a pool's child that was not forked from its main process."""
        signals.worker_process_shutdown.connect(self._on_child_end, weak=False)
        self._on_child()

    def _instrument(self, begin: Callable[..., None] | None = None) -> None:
        """Switch contrib on, with the application's provider if there is one, unless somebody else has."""
        self._is_ours = not contrib.is_on()
        if self._is_ours:
            self._runs.connect()
            contrib.switch_on(provider.application_provider() or self._own, self._insistence.whole, begin)

    def _offer(self) -> None:
        """Set our provider where there is none: libraries' spans go the same way, and contrib's where others did it."""
        if provider.application_provider() is None:
            provider.offer(self._own)

    def _batches(self) -> list[BatchSpanProcessor]:
        """Make what sends the spans of this process, where the first one ends."""
        if self._courier is not None and not self._courier.is_here:
            self._courier = Courier(self._on_error)  # a publisher that was forked: its parent's thread is not here
        batches = [BatchSpanProcessor(make()) for make in self._makers]
        if not self.has_hub and native.is_patched():  # their threads are greenlets
            for batch in batches:
                keep_doing(SEND_SECONDS, batch.force_flush, self._on_error, lambda: self._is_over)
        return batches

    # -- in a pool's child -----------------------------------------------------------------------------------------

    def _forked(self) -> None:
        """Leave a new child uninstrumented, so that the application's own handlers may instrument it as ever."""
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

    def _on_child_end(self, **_: object) -> None:
        """Send a child's last spans; its slot in the pool stays empty meanwhile."""
        flush = self._flush()
        if flush is not None:
            bounded(self._settings.flush_seconds, flush, self._on_error)

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send the last spans of this process, within the bound; more may follow."""
        self.send()
        self.wait(time.monotonic() + self._settings.flush_seconds)

    def send(self) -> None:
        """Have the spans that have ended in this process sent, without waiting for it."""
        flush = self._flush()
        if self._courier is not None and self._courier.is_here and flush is not None:
            self._courier.ask(flush)

    def wait(self, until: float) -> None:
        """Wait for what was sent, until this moment of the monotonic clock."""
        if self._courier is not None and self._courier.is_here:
            self._courier.settle(max(0.0, until - time.monotonic()))

    def uninstrument(self) -> None:
        """Make no more spans."""
        self._is_over = True
        signals.worker_process_init.disconnect(self._on_child)
        signals.beat_embedded_init.disconnect(self._on_child)
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
        """Find what sends this process's spans."""
        found = provider.application_provider()
        if found is None:
            return self._spans.force_flush
        flush: Callable[[], Any] | None = getattr(found, "force_flush", None)
        return flush
