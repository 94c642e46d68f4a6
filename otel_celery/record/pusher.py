"""Push metrics from a thread of the main process, never from a forked child.

The SDK's periodic reader starts its thread again in each child, where it exports the main process's values a second
time. Here a child has no thread. Collecting happens behind the fork gate; exporting, which may take long, happens
outside of it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricExportResult

from otel_celery.export.hush import Hush
from otel_celery.forks import gate
from otel_celery.masking import represented
from otel_celery.record.exporters import ExporterError, Late
from otel_celery.record.isolation import Isolation
from otel_celery.unobtrusive import consideration

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricExporter, MetricsData

    from otel_celery.record.foreign import ForeignMetrics
    from otel_celery.record.producers import Producers
    from otel_celery.record.refusals import Refusals

    Hold = Callable[[], AbstractContextManager[None]]

logger = logging.getLogger("otel_celery")

LATE_SECONDS = 1.0
"""How long a thread waits before it imports its exporter, at most: until then the worker itself starts."""


def has_deltas(exporter: MetricExporter | Late) -> bool:
    """Tell whether an exporter prefers delta temporality for observable counters."""
    temporality, _ = preferences(exporter)
    return (temporality or {}).get(ObservableCounter) is AggregationTemporality.DELTA


def preferences(exporter: MetricExporter | Late) -> tuple[Any, Any]:
    """Return the temporality and the aggregation that an exporter prefers.

    They are private attributes; the SDK's own periodic reader reads the same. None means the SDK's default: cumulative,
    with explicit buckets.
    """
    return getattr(exporter, "_preferred_temporality", None), getattr(exporter, "_preferred_aggregation", None)


class PushReader(InMemoryMetricReader):
    """Collects for one exporter, and adds the producers' metrics."""

    def __init__(
        self,
        exporter: MetricExporter | Late,
        limits: CardinalityLimits,
        producers: Producers,
        foreign: ForeignMetrics,
    ) -> None:
        """Collect as this exporter prefers; more may be added to ``producers`` later."""
        temporality, aggregation = preferences(exporter)
        super().__init__(
            preferred_temporality=temporality, preferred_aggregation=aggregation, cardinality_limits=limits
        )
        self._producers = producers
        self._foreign = foreign
        self._is_removed = False

    def take(self) -> MetricsData | None:
        """Collect and return the metrics, or None. The caller holds the fork gate.

        Raises any exception of an instrument's callback.
        """
        if self._is_removed:
            return None
        metrics_data = self._producers.collect(self)
        return None if metrics_data is None else self._foreign.tidy(metrics_data)

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Have nothing taken any more; the exporting thread shuts the exporter down.

        A thread that comes to its last push only now is late, which has been said.
        """
        del timeout_millis
        self._is_removed = True


class Pusher:
    """Pushes one reader's metrics to one exporter, at an interval and once more at the end."""

    def __init__(  # noqa: PLR0913, PLR0917  the parts of a push
        self,
        place: str,
        reader: PushReader,
        exporter: MetricExporter | Late,
        timing: tuple[float, float],
        hold: Hold,
        refused: Refusals,
    ) -> None:
        """``place`` names the exporter in the log; ``timing`` is interval and timeout in seconds.

        ``hold`` keeps forks waiting: a child would inherit the locks that a collection holds. ``refused`` counts points
        that the exporter cannot encode.
        """
        self._place = place
        self._reader = reader
        self._exporter = exporter
        self._interval, self._timeout = timing
        self._hold = hold
        self._over = threading.Event()
        self._refused = refused
        self._is_failing = False
        self.opened: Callable[[str], None] = lambda _: None
        """Called with the place, once an exporter that is late has been made."""
        self.failed: Callable[[str], None] = lambda _: None
        """Called with a sentence, if it cannot be made; then nothing is pushed."""
        self._thread = threading.Thread(target=self._run, name="otel-celery-push", daemon=True)

    def start(self) -> None:
        """Start the thread; the first export is due after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """Make the thread push the last values and end; :meth:`wait` waits for it."""
        self._over.set()

    def wait(self, until: float) -> None:
        """Wait for the thread's end, at most until this moment of the monotonic clock; after that it is left alone."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive() and not self._is_failing:  # the exporter still tries, and has logged nothing yet
            logger.warning(
                "otel-celery: the last metrics were not taken by %s in time, and may be lost; see that a collector "
                "listens there (OTEL_EXPORTER_OTLP_ENDPOINT)",
                self._place,
            )

    def _run(self) -> None:
        due = time.monotonic() + self._interval
        exporter = self._open()
        if exporter is None:
            return
        with gate().importing():
            from opentelemetry.instrumentation.utils import suppress_instrumentation  # noqa: PLC0415
        self._isolation, self._hush = Isolation(exporter, self._refused), Hush(exporter)
        with suppress_instrumentation(), self._hush:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + self._interval
                self._push()
            self._push()
            try:
                exporter.shutdown()
            except Exception as error:  # noqa: BLE001  the last push is over
                logger.debug("otel-celery: the exporter %s did not shut down: %s", self._place, represented(error))

    def _open(self) -> MetricExporter | None:
        """Make an exporter that is late; None if it cannot be made."""
        if not isinstance(self._exporter, Late):
            return self._exporter
        self._over.wait(min(LATE_SECONDS, self._interval))
        try:
            made = self._exporter.open()
        except ExporterError as error:
            self.failed(str(error))
            return None
        except Exception as error:  # noqa: BLE001  whatever a library raises as it is imported, the operator hears of it
            self.failed(f"no metrics are pushed to {self._place}: {represented(error)}")
            return None
        self.opened(self._place)
        return made

    def _push(self) -> None:
        self._hush.heard.clear()
        try:
            with self._hold(), consideration().working():
                collected = self._reader.take()
            if collected is None:
                return
            result = self._isolation.export(collected, self._timeout)
        except Exception as error:  # noqa: BLE001  after any error the next export is tried
            self._tell(represented(error))
        else:
            self._tell("" if result is MetricExportResult.SUCCESS else self._hush.reason())

    def _tell(self, trouble: str) -> None:
        """Log the first failure of a row, and its end."""
        if trouble and not self._is_failing:
            logger.warning(
                "otel-celery: metrics cannot be pushed to %s: %s. Tasks are not touched by it, and it is tried again "
                "every %g s; see that a collector listens there (OTEL_EXPORTER_OTLP_ENDPOINT). This is said once.",
                self._place,
                trouble,
                self._interval,
            )
        elif self._is_failing and not trouble:
            logger.info("otel-celery: metrics are pushed to %s again", self._place)
        self._is_failing = bool(trouble)
