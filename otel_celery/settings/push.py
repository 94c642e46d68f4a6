"""Read the push of metrics: exporters, interval, timeout, temporality, histogram aggregation, exemplars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_celery.settings import variables
from otel_celery.settings.otlp import OTLP, Exporter, otlp

if TYPE_CHECKING:
    from otel_celery.settings.reader import Reader

CUMULATIVE = variables.TEMPORALITY.default


class Push(NamedTuple):
    """The settings of the push of metrics."""

    exporters: tuple[Exporter, ...]
    interval: float = 60.0
    """Seconds from the start of one export to the start of the next."""
    timeout: float = 30.0
    """Seconds that an export may take at most."""
    temporality: str = CUMULATIVE
    """The temporality of OTLP's counters and histograms: cumulative, delta or lowmemory."""
    is_exponential: bool = False
    """Whether OTLP's histograms have exponential buckets."""
    exemplars: str | None = None
    """The value of OTEL_METRICS_EXEMPLAR_FILTER, None if it is unset."""

    @property
    def needs_sdk(self) -> bool:
        """Whether the SDK must record the histograms, instead of our own counters.

        It must for exemplars, for exporters other than OTLP and console, and for OTLP with another temporality than
        cumulative or with exponential buckets.
        """
        is_known = all(exporter.otlp or exporter.name == "console" for exporter in self.exporters)
        has_otlp = any(exporter.otlp for exporter in self.exporters)
        is_shaped = has_otlp and (self.temporality != CUMULATIVE or self.is_exponential)
        return not is_known or is_shaped or self.exemplars in {"trace_based", "always_on"}

    @property
    def has_exemplars(self) -> bool:
        """Whether observations are recorded in the trace context of their task's message."""
        return self.needs_sdk and self.exemplars != "always_off"


def push(reader: Reader, names: tuple[str, ...]) -> Push | None:
    """Read the push to the exporters with these names; None if there are none.

    Raises SettingsError on the first value that is not allowed.
    """
    if not names:
        return None
    return Push(
        tuple(Exporter(name, otlp(reader, "METRICS", OTLP[name]) if name in OTLP else None) for name in names),
        interval=variables.INTERVAL.read(reader) / 1000,
        timeout=variables.TIMEOUT.read(reader) / 1000,
        temporality=variables.TEMPORALITY.read(reader),
        is_exponential=variables.AGGREGATION.read(reader) != variables.AGGREGATION.default,
        exemplars=variables.EXEMPLARS.read(reader) or None,
    )
