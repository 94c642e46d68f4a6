"""Add up the data points of one series, as if a single SDK instrument had recorded all of them.

The points are OpenTelemetry's: of a sum, a gauge, or a histogram with explicit or exponential buckets. Two series
become one when their labels are cut or cleaned, when two scopes share a name, or when several processes record the
same one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

EXPONENTIAL_BUCKETS = 160
"""Buckets of an exponential histogram on either side of zero: the specification's default, which a view may change."""


def add(one: Any, other: Any) -> Any:
    """Add two points of one series, and keep the attributes of ``one``.

    A gauge is not added: the newer point stays, or ``other`` if both are equally new. Returns None where the points
    cannot be added: they are of different kinds, or histograms with different bounds.
    """
    if type(one) is not type(other):
        return None
    if isinstance(one, HistogramDataPoint):
        return _histogram(one, other)
    if isinstance(one, ExponentialHistogramDataPoint):
        return _exponential(one, other)
    return _number(one, other)


def united(
    points: Iterable[Any], keys: Iterable[Hashable], refused: Callable[[Any], None] = lambda _: None
) -> list[Any]:
    """Add up the points of equal keys, in the order of their first points; ``refused`` gets those that do not fit."""
    single: dict[Hashable, Any] = {}
    for point, key in zip(points, keys, strict=False):
        known = single.setdefault(key, point)
        if known is not point:
            both = add(known, point)
            if both is None:
                refused(point)
            else:
                single[key] = both
    return list(single.values())


def plus(one: float, other: float) -> float:
    """Add two numbers; an integer too large for a float counts as infinite when it is added to a float."""
    try:
        return one + other
    except OverflowError:
        return _float(one) + _float(other)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _number(one: NumberDataPoint, other: NumberDataPoint) -> NumberDataPoint | None:
    if _is_gauge(one) != _is_gauge(other):
        return None
    if _is_gauge(one):
        newer = one if one.time_unix_nano > other.time_unix_nano else other
        return replace(newer, attributes=one.attributes)
    return replace(one, value=plus(one.value, other.value), **_span(one, other))


def _is_gauge(point: NumberDataPoint) -> bool:
    return point.start_time_unix_nano is None  # so the SDK marks a gauge


def _histogram(one: HistogramDataPoint, other: HistogramDataPoint) -> HistogramDataPoint | None:
    if tuple(one.explicit_bounds) != tuple(other.explicit_bounds):
        return None
    counts = [mine + theirs for mine, theirs in zip(one.bucket_counts, other.bucket_counts, strict=True)]
    return replace(one, bucket_counts=counts, **_observed(one, other), **_span(one, other))


def _exponential(
    one: ExponentialHistogramDataPoint, other: ExponentialHistogramDataPoint
) -> ExponentialHistogramDataPoint:
    """Add at the finest scale that both points can be brought to and that needs no more buckets than allowed."""
    sides = [_counts(point, side) for side in ("positive", "negative") for point in (one, other)]
    scale = _common_scale(one, other)
    positive, negative = (
        _summed([_coarser(counts, point.scale - scale) for counts, point in zip(pair, (one, other), strict=True)])
        for pair in (sides[:2], sides[2:])
    )
    limit = max(EXPONENTIAL_BUCKETS, *(_width(counts) for counts in sides))
    excess = 0
    while max(_width(_coarser(positive, excess)), _width(_coarser(negative, excess))) > limit:
        excess += 1
    return replace(
        one,
        scale=scale - excess,
        zero_count=one.zero_count + other.zero_count,
        positive=_buckets(one, _coarser(positive, excess)),
        negative=_buckets(one, _coarser(negative, excess)),
        flags=one.flags | other.flags,
        **_observed(one, other),
        **_span(one, other),
    )


def _common_scale(one: ExponentialHistogramDataPoint, other: ExponentialHistogramDataPoint) -> int:
    """Find the coarser of the two scales; the scale of a point without positive or negative values is ignored."""
    scales = [
        point.scale for point in (one, other) if any(point.positive.bucket_counts) or any(point.negative.bucket_counts)
    ]
    return min(scales or [one.scale, other.scale])


def _counts(point: ExponentialHistogramDataPoint, side: str) -> dict[int, int]:
    """Return the counts of a side's buckets that are not empty, by their index at the point's scale."""
    buckets = getattr(point, side)
    return {buckets.offset + place: number for place, number in enumerate(buckets.bucket_counts) if number}


def _coarser(counts: dict[int, int], by: int) -> dict[int, int]:
    """Lower the scale by ``by``: each step merges two neighbouring buckets, those with negative indices too."""
    coarse: dict[int, int] = {}
    for index, number in counts.items():
        coarse[index >> by] = coarse.get(index >> by, 0) + number
    return coarse


def _summed(parts: Sequence[dict[int, int]]) -> dict[int, int]:
    one, other = parts
    return {index: one.get(index, 0) + other.get(index, 0) for index in {*one, *other}}


def _width(counts: dict[int, int]) -> int:
    return max(counts) - min(counts) + 1 if counts else 0


def _buckets(like: ExponentialHistogramDataPoint, counts: dict[int, int]) -> Any:
    first = min(counts, default=0)
    listed = tuple(counts.get(first + place, 0) for place in range(_width(counts)))
    return replace(like.positive, offset=first, bucket_counts=listed)


def _observed(one: Any, other: Any) -> dict[str, Any]:
    """Add count, sum, min and max of two histograms; an empty histogram has no part in min and max."""
    return {
        "count": one.count + other.count,
        "sum": plus(one.sum, other.sum),
        "min": _extreme(min, "min", one, other),
        "max": _extreme(max, "max", one, other),
    }


def _extreme(choose: Callable[..., float], name: str, one: Any, other: Any) -> float | None:
    values = [getattr(point, name) for point in (one, other) if point.count]
    if not values:
        values = [getattr(one, name), getattr(other, name)]
    return None if None in values else choose(values)


def _span(one: Any, other: Any) -> dict[str, Any]:
    """Cover the time of both points, and keep the exemplars of both."""
    return {
        "start_time_unix_nano": min(one.start_time_unix_nano, other.start_time_unix_nano),
        "time_unix_nano": max(one.time_unix_nano, other.time_unix_nano),
        "exemplars": [*one.exemplars, *other.exemplars],
    }
