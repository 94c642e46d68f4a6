"""What a child's reader collected, as plain values: labels cleaned, and nothing left that a later scrape trips over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Histogram, Sum

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    Labels = tuple[tuple[str, Any], ...]
    Scope = tuple[str, str | None, str | None, Labels]
    Point = tuple[Any, ...]
    """Its labels, and then: a number; for a gauge a time and a number; for a histogram its sum, least, most, counts."""
    Item = tuple[Scope, str, str, str, str, tuple[float, ...], list[Point]]
    """Scope, name, unit, description, kind, bounds, points."""

COUNTER, UP_DOWN, LEVEL, GAUGE, HISTOGRAM = KINDS = ("counter", "up_down", "level", "gauge", "histogram")
"""``level`` is an observable up-down counter, whose value is what the child has now, and gone with the child."""

POINTS_PER_FRAME = 500
"""A child that is killed while it sends loses the frame that it was at."""

MAX_DESCRIPTION = 1_000


def clean(text: str, length: int) -> str:
    """Cut a text, and replace lone surrogates: one of them would make every later scrape fail."""
    return text[:length].encode("utf-8", "replace").decode("utf-8")


def labels(attributes: Mapping[str, Any] | None, length: int) -> Labels:
    """Make attributes plain, and order them, so that equal ones are equal."""
    if not attributes:
        return ()
    return tuple(sorted((clean(str(key), length), _plain(value, length)) for key, value in attributes.items()))


def _plain(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return clean(value, length)
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return tuple(_plain(each, length) for each in value)
    return clean(json.dumps(value, default=str), length)


def identity(scope: InstrumentationScope, length: int) -> Scope:
    """Make a scope plain."""
    version, schema = (None if text is None else clean(text, length) for text in (scope.version, scope.schema_url))
    return (clean(scope.name, length), version, schema, labels(scope.attributes, length))


def kind_of(metric: Metric) -> str | None:
    """Tell what an instrument was from what its metric holds; None for what cannot be merged.

    The child's reader asks for changes, save for observable up-down counters, of which it gets the value itself.
    """
    data = metric.data
    if isinstance(data, Sum):
        if data.is_monotonic:
            return COUNTER
        return LEVEL if data.aggregation_temporality is AggregationTemporality.CUMULATIVE else UP_DOWN
    if isinstance(data, Gauge):
        return GAUGE
    return HISTOGRAM if isinstance(data, Histogram) else None


def pack(collected: MetricsData, length: int) -> Iterator[tuple[int, Item | None]]:
    """Make plain items of a collection, each with its number of points; None for what cannot be merged."""
    for resource_metrics in collected.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            scope = identity(scope_metrics.scope, length)
            for metric in scope_metrics.metrics:
                yield from _items(scope, metric, length)


def _items(scope: Scope, metric: Metric, length: int) -> Iterator[tuple[int, Item | None]]:
    kind, points = kind_of(metric), list[Any](metric.data.data_points)
    if kind is None:
        yield len(points), None
        return
    description = clean(metric.description or "", MAX_DESCRIPTION)
    groups: dict[tuple[float, ...], list[Point]] = {}
    for point in points:
        bounds = tuple(point.explicit_bounds) if kind == HISTOGRAM else ()
        groups.setdefault(bounds, []).append((labels(point.attributes, length), *_values(kind, point)))
    for bounds, group in groups.items():
        for start in range(0, len(group), POINTS_PER_FRAME):
            part = group[start : start + POINTS_PER_FRAME]
            yield len(part), (scope, metric.name, metric.unit or "", description, kind, bounds, part)


def _values(kind: str, point: Any) -> tuple[Any, ...]:
    if kind == GAUGE:
        return (point.time_unix_nano, point.value)
    if kind == HISTOGRAM:
        return (point.sum, point.min, point.max, tuple(point.bucket_counts))
    return (point.value,)
