"""What others record with the provider that we export: made fit for a port that one bad label would break for ever.

A lone surrogate in a label fails each later scrape, and each later push. Two instruments of one name are duplicates on
the port, where scopes are not shown, and Prometheus may refuse the whole scrape. So values are cleaned and cut as our
own are, series of one name and kind are put together, and a name that is taken is not given away again.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_full_name
from opentelemetry.sdk.metrics.export import Gauge, Histogram, HistogramDataPoint, Sum

from otel_celery import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData, ScopeMetrics

    Clean = Callable[[str], str]
    Family = tuple[str, str]
    """A name without its suffix, and a kind."""

SUFFIXES = {"counter": ("", "_total"), "gauge": ("",), "histogram": ("", "_bucket", "_count", "_sum")}
"""The names that a family of each kind takes up."""

PROCESS = (
    ("counter", "process_cpu_seconds"),
    *(
        ("gauge", f"process_{what}")
        for what in ("virtual_memory_bytes", "resident_memory_bytes", "start_time_seconds", "open_fds", "max_fds")
    ),
    ("gauge", "target_info"),
)
"""What the port shows besides the catalogue."""

MAX_NAMES = 10_000
MAX_REMEMBERED = 100_000

logger = logging.getLogger("otel_celery")


class Guests:
    """Looks through each collection; for one reader, and for one collection at a time."""

    def __init__(self, ours: str, clean: Clean, left_out: Callable[[int], None]) -> None:
        """``ours`` is our own scope's name; ``left_out`` hears of points that the port cannot show."""
        self._ours = ours
        self._clean = clean
        self._left_out = left_out
        # The attributes stand beside what was made of them, so that no other object can take their id.
        self._cleaned: dict[int, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = {}
        self._names: dict[str, Family | None] = {
            name: None for kind, base in _reserved() for name in _names(kind, base)
        }
        self._refused: set[tuple[str, str]] = set()

    def tidy(self, data: MetricsData) -> None:
        """Clean the labels of all guests."""
        for _, metrics in self._guests(data):
            metrics[:] = [self._tidied(metric) for metric in metrics]

    def flatten(self, data: MetricsData) -> None:
        """Leave one family for each name, whatever scopes they come from: what the port can show."""
        self.tidy(data)
        homes: dict[Family, tuple[list[Metric], int]] = {}
        for scope, metrics in self._guests(data):
            kept: list[Metric] = []
            for metric in metrics:
                family = self._admitted(metric, scope)
                if family is None:
                    continue
                if family in homes:
                    home, index = homes[family]
                    home[index] = _united(home[index], metric)
                else:
                    homes[family] = (metrics, len(kept))
                    kept.append(metric)
            metrics[:] = kept

    def _guests(self, data: MetricsData) -> Iterable[tuple[str, list[Metric]]]:
        for resource_metrics in data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                if scope_metrics.scope.name != self._ours:
                    yield scope_metrics.scope.name, _list(scope_metrics)

    def _tidied(self, metric: Metric) -> Metric:
        data: Any = metric.data
        clean = [self._clean_labels(point.attributes) for point in data.data_points]
        if all(labels is point.attributes for labels, point in zip(clean, data.data_points, strict=True)):
            tidied = metric
        else:
            points = [replace(point, attributes=labels) for labels, point in zip(clean, data.data_points, strict=True)]
            tidied = replace(metric, data=replace(data, data_points=_single(points)))
        description = metric.description or ""
        return tidied if description.isprintable() else replace(tidied, description=_text(description))

    def _clean_labels(self, attributes: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        kept = self._cleaned.get(id(attributes))
        if kept is None:
            if len(self._cleaned) > MAX_REMEMBERED:
                self._cleaned.clear()
            made = {self._clean(str(key)): self._plain(value) for key, value in (attributes or {}).items()}
            kept = self._cleaned[id(attributes)] = (attributes, attributes if made == (attributes or {}) else made)
        return kept[1]

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return value and self._clean(value)
        if isinstance(value, (bool, int, float)):
            return value
        return tuple(map(self._plain, value)) if isinstance(value, (list, tuple)) else self._clean(repr(value))

    def _admitted(self, metric: Metric, scope: str) -> Family | None:
        """Give a metric's family; None for one whose name is taken by another kind, or by us."""
        family = _family(metric)
        if family is None:
            return None
        names = _names(*family)
        if any(self._names.get(name, family) != family for name in names) or len(self._names) > MAX_NAMES:
            self._refuse(metric, scope)
            return None
        self._names.update(dict.fromkeys(names, family))
        return family

    def _refuse(self, metric: Metric, scope: str) -> None:
        if (scope, metric.name) in self._refused or len(self._refused) > MAX_NAMES:
            return
        self._refused.add((scope, metric.name))
        self._left_out(len(metric.data.data_points))
        logger.warning(
            "otel-celery: the metric %r of the meter %r is not shown on the port, where its name is taken by another "
            "metric; give it a name of its own",
            metric.name,
            scope,
        )


def _list(scope_metrics: ScopeMetrics) -> list[Metric]:
    metrics: list[Metric] = scope_metrics.metrics  # type: ignore[assignment]  # a list that was made for this reader
    return metrics


def _text(description: str) -> str:
    return description.encode("utf-8", "replace").decode("utf-8")


def _reserved() -> Iterable[Family]:
    for metric in catalogue.METRICS:
        yield metric.kind.value, _base(metric.kind.value, metric.name, metric.unit)
    yield from PROCESS


def _names(kind: str, base: str) -> Sequence[str]:
    return [base + suffix for suffix in SUFFIXES[kind]]


def _family(metric: Metric) -> Family | None:
    """Name a metric as the port does; None for a kind of data that it cannot show."""
    if isinstance(metric.data, Sum):
        kind = "counter" if metric.data.is_monotonic else "gauge"
    elif isinstance(metric.data, (Gauge, Histogram)):
        kind = "gauge" if isinstance(metric.data, Gauge) else "histogram"
    else:
        return None
    return kind, _base(kind, metric.name, metric.unit or "")


def _base(kind: str, name: str, unit: str) -> str:
    base, unit = sanitize_full_name(name), map_unit(unit)
    base = base.removesuffix("_total") if kind == "counter" else base
    return base if not unit or base.endswith(f"_{unit}") else f"{base}_{unit}"


def _united(one: Metric, other: Metric) -> Metric:
    data: Any = one.data
    return replace(one, data=replace(data, data_points=_single([*data.data_points, *other.data.data_points])))


def _single(points: Sequence[Any]) -> Sequence[Any]:
    """Put together the points that have the same labels: counts are added, of gauges the last one stays."""
    keys = [repr(sorted((point.attributes or {}).items())) for point in points]
    if max(Counter(keys).values(), default=1) == 1:
        return points
    single: dict[str, Any] = {}
    for key, point in zip(keys, points, strict=True):
        single[key] = _sum(single[key], point) if key in single else point
    return list(single.values())


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, HistogramDataPoint):
        if tuple(one.explicit_bounds) != tuple(other.explicit_bounds):
            return one
        counts = [a + b for a, b in zip(one.bucket_counts, other.bucket_counts, strict=True)]
        return replace(one, bucket_counts=counts, count=one.count + other.count, sum=one.sum + other.sum)
    return other if one.start_time_unix_nano is None else replace(one, value=one.value + other.value)
