"""Give each name on the port to one family: the first that uses it.

A name that a parser would take for a part of another family, such as its ``_count``, is taken as well.
"""

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
"""The suffixes of the names that OpenMetrics gives to a family of each kind, used or not."""

PROCESS = (
    ("counter", "process_cpu_seconds"),
    *(
        ("gauge", f"process_{what}")
        for what in ("virtual_memory_bytes", "resident_memory_bytes", "start_time_seconds", "open_fds", "max_fds")
    ),
    ("info", "target"),
)
"""The families on the port besides the catalogue's."""

MAX_NAMES = 10_000


class Names:
    """The names in use on one port, each with its family."""

    def __init__(self) -> None:
        """Begin with our own names."""
        self._owners: dict[str, Family | None] = {
            name: None for kind, base in _reserved() for name in names_of(kind, base)
        }

    def admit(self, family: Family) -> Loss | None:
        """Take a family in and return None, or return the reason against it.

        A family that was taken in once is always taken in.
        """
        names = names_of(*family)
        if any(self._owners.get(name, family) != family for name in names):
            return Loss.NAME
        if names[0] not in self._owners:
            if len(self._owners) >= MAX_NAMES:
                return Loss.LIMIT
            self._owners.update(dict.fromkeys(names, family))
        return None


def family_of(metric: Metric) -> Family | None:
    """Return a metric's family on the port; None for a kind of data that the port cannot show."""
    if isinstance(metric.data, Sum):
        kind = "counter" if metric.data.is_monotonic else "gauge"
    elif isinstance(metric.data, (Gauge, Histogram)):
        kind = "gauge" if isinstance(metric.data, Gauge) else "histogram"
    else:
        return None
    return kind, _base(kind, metric.name, metric.unit or "")


def names_of(kind: str, base: str) -> Sequence[str]:
    """List the names that a family occupies."""
    return [base + suffix for suffix in SUFFIXES[kind]]


def _reserved() -> Iterable[Family]:
    for metric in catalogue.METRICS:
        yield metric.kind.value, _base(metric.kind.value, metric.name, metric.unit)
    yield from PROCESS


def _base(kind: str, name: str, unit: str) -> str:
    base, unit = metric_name(name), unit_word(unit)
    base = base.removesuffix("_total") if kind == "counter" else base
    return base if not unit or base.endswith(f"_{unit}") else f"{base}_{unit}"
