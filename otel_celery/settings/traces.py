"""Read the settings of spans: their exporters, the flush timeout, the id generator, and log correlation.

The SDK itself reads OTEL_TRACES_SAMPLER, OTEL_BSP_* and the limits of spans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_celery.ending import SPANS_SECONDS
from otel_celery.settings import variables
from otel_celery.settings.otlp import OTLP, Exporter, otlp

if TYPE_CHECKING:
    from otel_celery.settings.reader import Reader


class Traces(NamedTuple):
    """The settings of spans."""

    exporters: tuple[Exporter, ...]
    flush_seconds: float = SPANS_SECONDS
    """Seconds that the end of a process waits for its last spans at most."""
    log_ids: bool = False
    """Whether log records carry trace_id and span_id."""
    id_generator: str = "random"
    """The name of an entry point of the group ``opentelemetry_id_generator``."""

    @property
    def has_grpc(self) -> bool:
        """Whether an exporter uses gRPC, which may break in a process that forks."""
        return any(exporter.is_grpc for exporter in self.exporters)


def traces(reader: Reader) -> Traces | None:
    """Read the settings of spans; None without an exporter, or if OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names celery.

    Raises SettingsError on the first value that is not allowed.
    """
    names = variables.TRACES_EXPORTER.read(reader)
    if names in {(), ("none",)} or "celery" in variables.DISABLED.read(reader):
        return None
    return Traces(
        tuple(Exporter(name, otlp(reader, "TRACES", OTLP[name]) if name in OTLP else None, "traces") for name in names),
        flush_seconds=variables.FLUSH.read(reader) / 1000,
        log_ids=variables.LOG_CORRELATION.read(reader),
        id_generator=variables.ID_GENERATOR.read(reader),
    )
