"""The names on the port: one family each, whoever came first, and none that a parser takes for part of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum

from otel_celery import catalogue
from otel_celery.lifecycle import Loss
from otel_celery.record.naming import metric_name, unit_word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.metrics.export import Metric

    Family = tuple[str, str]
    """A kind, and a name without its suffix."""

SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "info": ("", "_info"),
}
"""The names that OpenMetrics gives to a family of each kind, used or not."""

PROCESS = (
    ("counter", "process_cpu_seconds"),
    *(
        ("gauge", f"process_{what}")
        for what in ("virtual_memory_bytes", "resident_memory_bytes", "start_time_seconds", "open_fds", "max_fds")
    ),
    ("info", "target"),
)
"""What the port shows besides the catalogue."""

MAX_NAMES = 10_000


class Names:
    """Who has which name on one port."""

    def __init__(self) -> None:
        """Begin with our own."""
        self._owners: dict[str, Family | None] = {
            name: None for kind, base in _reserved() for name in names_of(kind, base)
        }

    def admit(self, family: Family) -> Loss | None:
        """Take a family in, or tell why not; one that was taken in always is."""
        names = names_of(*family)
        if any(self._owners.get(name, family) != family for name in names):
            return Loss.NAME
        if names[0] not in self._owners:
            if len(self._owners) >= MAX_NAMES:
                return Loss.LIMIT
            self._owners.update(dict.fromkeys(names, family))
        return None


def family_of(metric: Metric) -> Family | None:
    """Name a metric as the port does; None for a kind of data that it cannot show."""
    if isinstance(metric.data, Sum):
        kind = "counter" if metric.data.is_monotonic else "gauge"
    elif isinstance(metric.data, (Gauge, Histogram)):
        kind = "gauge" if isinstance(metric.data, Gauge) else "histogram"
    else:
        return None
    return kind, _base(kind, metric.name, metric.unit or "")


def names_of(kind: str, base: str) -> Sequence[str]:
    """List the names that a family takes up."""
    return [base + suffix for suffix in SUFFIXES[kind]]


def _reserved() -> Iterable[Family]:
    for metric in catalogue.METRICS:
        yield metric.kind.value, _base(metric.kind.value, metric.name, metric.unit)
    yield from PROCESS


def _base(kind: str, name: str, unit: str) -> str:
    base, unit = metric_name(name), unit_word(unit)
    base = base.removesuffix("_total") if kind == "counter" else base
    return base if not unit or base.endswith(f"_{unit}") else f"{base}_{unit}"
