"""Whatever is added up is what the SDK collects when all of it is recorded in one series."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)

from otel_celery.adding import EXPONENTIAL_BUCKETS, add, buckets, plus, united

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WHOLE = st.integers(0, 2**70)
DYADIC = st.integers(0, 2**30).map(lambda number: number / 2**10)
"""Floats that add up exactly in any order."""
SPREAD = st.one_of(DYADIC, st.integers(-300, 300).map(lambda power: 2.0**power), st.just(0))
EXPONENTIAL = ExponentialBucketHistogramAggregation()
DELTA = {Histogram: AggregationTemporality.DELTA}


def recorded(
    make: Callable[[Any], Callable[..., None]],
    parts: Sequence[Sequence[float]],
    aggregation: Aggregation | None = None,
    temporality: dict[type, AggregationTemporality] | None = None,
) -> tuple[list[Any], Any]:
    """Record each part in a series of its own, and all of them in one; give the points of both."""
    points: list[list[Any]] = []
    apart: list[dict[str, str]] = [{"part": str(number)} for number in range(len(parts))]
    preferred: dict[type, Aggregation] | None = {Histogram: aggregation} if aggregation is not None else None
    for labels in (apart, [dict[str, str]()] * len(parts)):
        reader = InMemoryMetricReader(temporality, preferred)
        record = make(MeterProvider([reader], shutdown_on_exit=False).get_meter("m"))
        for attributes, part in zip(labels, parts, strict=True):
            for value in part:
                record(value, attributes)
        data = reader.get_metrics_data()
        assert data is not None
        points.append(list(data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points))
    return points[0], points[1][0]


def comparable(point: Any) -> Any:
    """Leave out what tells of the moment, and of the series: times and labels."""
    alike = replace(point, attributes={}, time_unix_nano=0, exemplars=[])
    if alike.start_time_unix_nano is not None:
        alike = replace(alike, start_time_unix_nano=0)
    return replace(alike, bucket_counts=list(alike.bucket_counts)) if hasattr(alike, "bucket_counts") else alike


def parts_of(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[list[float]]]:
    """Make up two to four series."""
    return st.lists(st.lists(values, min_size=1, max_size=12), min_size=2, max_size=4)


def assert_same(points: list[Any], whole: Any) -> None:
    """See that the points, added up, are the whole."""
    (made,) = united(points, itertools.repeat("one"))
    assert made.attributes == points[0].attributes
    assert comparable(made) == comparable(whole)


@given(parts_of(st.one_of(WHOLE, DYADIC)))
def test_sums(parts: list[list[float]]) -> None:
    """Integers stay exact beyond 64 bits, and floats are floats."""
    whole = [[int(value) for value in part] for part in parts]
    assert_same(*recorded(lambda meter: meter.create_up_down_counter("c").add, whole))
    mixed = [[value for value in part if value < 2**36] or [1] for part in parts]
    assert_same(*recorded(lambda meter: meter.create_counter("c").add, mixed))


@given(parts_of(DYADIC))
def test_gauges(parts: list[list[float]]) -> None:
    """Of values collected at one moment the last series' stays."""
    assert_same(*recorded(lambda meter: meter.create_gauge("g").set, parts))


@pytest.mark.parametrize("temporality", [None, DELTA], ids=["cumulative", "delta"])
@given(parts=parts_of(DYADIC), bounds=st.lists(DYADIC, max_size=6, unique=True).map(sorted), extremes=st.booleans())
def test_explicit_histograms(parts, bounds, extremes, temporality) -> None:
    """Buckets, count, sum, and the least and most of all, where they are known."""
    aggregation = ExplicitBucketHistogramAggregation(bounds, record_min_max=extremes)
    points, whole = recorded(lambda meter: meter.create_histogram("h").record, parts, aggregation, temporality)
    assert_same(points, whole)
    if extremes:
        assert whole.max == max(max(part) for part in parts)


@pytest.mark.parametrize("temporality", [None, DELTA], ids=["cumulative", "delta"])
@given(parts=parts_of(SPREAD))
@settings(deadline=None)
def test_exponential_histograms(parts, temporality) -> None:
    """The scale is the SDK's own choice, and each bucket holds what it would."""
    points, whole = recorded(lambda meter: meter.create_histogram("h").record, parts, EXPONENTIAL, temporality)
    (made,) = united(points, itertools.repeat("one"))
    assert made.scale == whole.scale
    assert trimmed(made) == trimmed(whole)
    assert math.isclose(made.sum, whole.sum)
    rest = {field: getattr(whole, field) for field in ("sum", "positive", "negative")}
    assert comparable(replace(made, **rest)) == comparable(whole)
    assert len(made.positive.bucket_counts) <= EXPONENTIAL_BUCKETS


def test_several_added_ones_are_added_again() -> None:
    """What was added is a point like any other."""
    points, whole = recorded(lambda meter: meter.create_histogram("h").record, [[0], [0.5], [3e9], [0]], EXPONENTIAL)
    one, other = (united(pair, (1, 1))[0] for pair in (points[:2], points[2:]))
    assert trimmed(add(one, other)) == trimmed(whole)


def trimmed(point: Any) -> list[dict[int, int]]:
    """List the buckets that hold anything, by side."""
    return [
        {side.offset + place: number for place, number in enumerate(side.bucket_counts) if number}
        for side in (point.positive, point.negative)
    ]


def test_negative_buckets_are_added_as_positive_ones() -> None:
    """OpenTelemetry's API refuses negative observations, but a point may have them."""
    (one, other), _ = recorded(lambda meter: meter.create_histogram("h").record, [[1.5], [1000.0]], EXPONENTIAL)
    mirrored = [replace(point, positive=point.negative, negative=point.positive) for point in (one, other)]
    assert trimmed(add(*mirrored)) == list(reversed(trimmed(add(one, other))))


def test_a_gauges_newer_value_stays() -> None:
    """Whichever comes first; the labels are those of the first."""
    points, _ = recorded(lambda meter: meter.create_gauge("g").set, [[1], [2]])
    old, new = replace(points[0], time_unix_nano=1), replace(points[1], time_unix_nano=2)
    assert [add(old, new).value, add(new, old).value] == [2, 2]
    assert add(old, new).attributes == old.attributes


def test_a_part_without_observations_has_no_least_and_most() -> None:
    """What is not known of either is not known of both; an empty one changes nothing."""
    (one, other), _ = recorded(lambda meter: meter.create_histogram("h").record, [[3], [4]])
    empty = replace(other, count=0, sum=0, bucket_counts=[0] * len(other.bucket_counts), min=math.inf, max=-math.inf)
    unknown = replace(other, min=None, max=None)
    assert (add(one, empty).min, add(empty, one).max, add(one, other).max) == (3, 3, 4)
    assert (add(one, unknown).min, add(unknown, one).max) == (None, None)


def test_what_cannot_be_added_is_told() -> None:
    """Other bounds, other kinds, a gauge and a sum: None; and whoever adds many hears of it, and keeps the first."""
    record = [[1.0], [2.0]]
    (narrow, _), _ = recorded(
        lambda meter: meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1]).record, record
    )
    (wide, _), _ = recorded(lambda meter: meter.create_histogram("h").record, record)
    (exponential, _), _ = recorded(lambda meter: meter.create_histogram("h").record, record, EXPONENTIAL)
    (gauge, _), _ = recorded(lambda meter: meter.create_gauge("g").set, record)
    (total, _), _ = recorded(lambda meter: meter.create_counter("c").add, record)
    different = [narrow, wide, exponential, gauge, total]
    assert [add(one, other) for one in different for other in different if one is not other] == [None] * 20
    refused: list[Any] = []
    assert united([narrow, wide, replace(narrow)], (1, 1, 1), refused.append) == [add(narrow, replace(narrow))]
    assert refused == [wide]


def test_an_integer_beyond_every_float() -> None:
    """It stays exact among integers, and is infinite beside a float."""
    assert plus(10**400, 1) == 10**400 + 1
    assert [plus(10**400, 0.5), plus(0.5, -(10**400))] == [math.inf, -math.inf]


def test_buckets_are_added_one_by_one() -> None:
    """Those of different numbers are of different bounds."""
    assert buckets((1, 0, 2), [0, 3, 1]) == [1, 3, 3]
    with pytest.raises(ValueError, match="longer"):
        buckets((1, 2), (1, 2, 3))
