"""To whom the metrics are pushed, how often, and in which shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.settings import variables
from otel_celery.settings.otlp import OTLP, Exporter, otlp

if TYPE_CHECKING:
    from otel_celery.settings.reader import Reader

CUMULATIVE = variables.TEMPORALITY.default


@dataclass(frozen=True, slots=True)
class Push:
    """Whom the metrics are pushed to, and how."""

    exporters: tuple[Exporter, ...]
    interval: float = 60.0
    """The seconds from the start of one export to the start of the next."""
    timeout: float = 30.0
    """The seconds that an export may take at most."""
    temporality: str = CUMULATIVE
    """What OTLP's counters and histograms count from: cumulative, delta or lowmemory."""
    is_exponential: bool = False
    """Whether OTLP's histograms have exponential buckets."""
    exemplars: str | None = None
    """OTEL_METRICS_EXEMPLAR_FILTER, where it is set."""

    @property
    def needs_sdk(self) -> bool:
        """Tell whether the SDK must record the histograms, since an exporter wants them in a shape of its own."""
        is_known = all(exporter.otlp or exporter.name == "console" for exporter in self.exporters)
        has_otlp = any(exporter.otlp for exporter in self.exporters)
        is_shaped = has_otlp and (self.temporality != CUMULATIVE or self.is_exponential)
        return not is_known or is_shaped or self.exemplars in {"trace_based", "always_on"}

    @property
    def has_exemplars(self) -> bool:
        """Tell whether observations are to be recorded in the context of their message's trace."""
        return self.needs_sdk and self.exemplars != "always_off"


def push(reader: Reader, names: tuple[str, ...]) -> Push | None:
    """Read how the metrics are pushed to the exporters of these names; None without any.

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
