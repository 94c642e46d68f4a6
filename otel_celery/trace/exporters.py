"""Load span exporters by the names of their entry points, and log their failures once an outage."""

from __future__ import annotations

import logging
import mmap
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_celery.export import plugins
from otel_celery.export.hush import Hush
from otel_celery.export.otlp import imported_late, options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_celery.settings.otlp import Exporter, Otlp

logger = logging.getLogger("otel_celery")


def load(exporters: Iterable[Exporter], outage: Outage) -> Sequence[Callable[[], Quiet]]:
    """Import exporters, and the modules that they import when they are made or used, before a pool forks.

    Each child would need a tenth of a second for these imports. Also, the main process exports spans in a thread: if a
    child were forked while that thread imports a module, the child would wait for ever when it imports the same one.

    Returns a function for each exporter that makes it. Raises RefusedError, with a sentence for the operator, if an
    exporter is not installed or cannot be made.
    """
    return [partial(_quiet, _maker(exporter), exporter.place, outage) for exporter in exporters]


def _maker(exporter: Exporter) -> Callable[[], SpanExporter]:
    make: Callable[..., SpanExporter] = plugins.load(
        exporter.group, exporter.entry_point, exporter.variable, exporter.missing
    )
    if exporter.otlp is not None:
        for module in () if exporter.is_grpc else imported_late(exporter.otlp):
            with suppress(ImportError):  # requests is used then
                import_module(module)
        make = partial(_otlp, make, exporter.otlp)
    if not exporter.is_grpc:  # a channel must not exist before a fork
        plugins.make(make, exporter.name, exporter.variable).shutdown()
    return make


def _otlp(make: Callable[..., SpanExporter], otlp: Otlp) -> SpanExporter:
    return make(**options(otlp, otlp.timeout, make))


def _quiet(make: Callable[[], SpanExporter], place: str, outage: Outage) -> Quiet:
    return Quiet(make(), place, outage)


class Outage:
    """A flag in shared memory: spans cannot be sent now, as this process or one forked from it has logged."""

    def __init__(self) -> None:
        """Begin without an outage."""
        self._shared = mmap.mmap(-1, 1)

    @property
    def is_known(self) -> bool:
        """Whether the outage has been logged already."""
        return self._shared[0] != 0

    @is_known.setter
    def is_known(self, known: bool) -> None:
        self._shared[0] = known

    def tell(self, sentence: str, *values: object) -> None:
        """Log the outage with a sentence for the operator, unless it is known."""
        if not self.is_known:
            self.is_known = True
            logger.warning(sentence, *values)


class Quiet(SpanExporter):
    """A span exporter that logs a failure once an outage, and not for each batch of each pool child."""

    def __init__(self, exporter: SpanExporter, place: str, outage: Outage) -> None:
        """Wrap ``exporter``, which sends to ``place``, and hold back its log lines."""
        self._exporter = exporter
        self._place = place
        self._outage = outage
        self._hush = Hush(exporter, self._tell)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans; a batch processor calls this for one batch at a time."""
        self._hush.heard.clear()
        with self._hush:
            result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._outage.is_known = False
        else:
            self._tell()
        return result

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)

    def _tell(self) -> None:
        """Log the outage at the exporter's first warning, since the process may end before the exporter gives up."""
        self._outage.tell(
            "otel-celery: spans cannot be sent to %s: %s. Tasks are not touched by it; see that a collector listens "
            "there (OTEL_EXPORTER_OTLP_ENDPOINT). This is said once, until they can be sent.",
            self._place,
            self._hush.reason(),
        )
