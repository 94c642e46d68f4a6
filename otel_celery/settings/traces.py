"""What the environment says of spans: where they go, and how long the end of a process may wait for its last ones.

What is not here the SDK reads itself: OTEL_TRACES_SAMPLER, OTEL_BSP_* and the limits of spans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.ending import SPANS_SECONDS
from otel_celery.settings import variables
from otel_celery.settings.otlp import OTLP, Exporter, otlp

if TYPE_CHECKING:
    from otel_celery.settings.reader import Reader


@dataclass(frozen=True, slots=True)
class Traces:
    """Where spans go, and how long the end of a process may be held up for its last ones."""

    exporters: tuple[Exporter, ...]
    flush_seconds: float = SPANS_SECONDS
    log_ids: bool = False
    """Whether log records carry trace_id and span_id."""
    id_generator: str = "random"
    """A name of the entry point group ``opentelemetry_id_generator``."""

    @property
    def has_grpc(self) -> bool:
        """Tell whether spans leave by gRPC, which does not like to be forked."""
        return any(exporter.is_grpc for exporter in self.exporters)


def traces(reader: Reader) -> Traces | None:
    """Read where spans go; None where none are asked for, or where Celery's are excepted by the standard variable.

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
