"""What children record, packed, sent and merged, is what the SDK collects when one process records all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_celery.relay.child.delta import DeltaReader
from otel_celery.relay.wire import frames
from tests.unit.relay.test_merged import Opened

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

DYADIC = st.integers(0, 2**30).map(lambda number: number / 2**10)
"""Floats that add up exactly in any order."""
LABELS = st.sampled_from([{}, {"a": 1}, {"a": "1"}, {"a": True}])
RECORDED = st.lists(st.tuples(LABELS, st.one_of(st.integers(0, 2**70), DYADIC)), max_size=8)
CHILDREN = st.lists(st.lists(RECORDED, min_size=1, max_size=3), min_size=1, max_size=4)
"""What each child records before each of its collections."""
BOUNDS = [0.5, 1.0, 2.0**20, 2.0**60]


def record(meter: Meter, kind: str, recorded: list[tuple[dict[str, Any], float]]) -> None:
    """Record with an instrument of this kind; whole numbers stay whole where there are only such."""
    for labels, number in recorded:
        if kind == "histogram":
            meter.create_histogram("m", explicit_bucket_boundaries_advisory=BOUNDS).record(number % 2**40, labels)
        elif kind == "counter":
            meter.create_counter("m").add(int(number), labels)
        else:
            meter.create_up_down_counter("m").add(number % 2**40 - 2**20, labels)


def told(point: Any) -> Any:
    """Give what a point says, but for its moments."""
    if hasattr(point, "value"):
        return point.value
    return (point.count, point.sum, point.min, point.max, tuple(point.bucket_counts), tuple(point.explicit_bounds))


def by_labels(points: list[Any]) -> dict[str, Any]:
    """Give the points by their labels, whose types count."""
    return {repr(sorted(point.attributes.items())): told(point) for point in points}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["counter", "up_down", "histogram"])
@settings(deadline=None)
@given(children=CHILDREN)
def test_children_are_as_one_process(kind: str, children: list[list[list[tuple[dict[str, Any], float]]]]) -> None:
    """Sums and integers exactly, each bucket, and the least and most of all of them."""
    opened, single = Opened(), InMemoryMetricReader()
    whole = MeterProvider([single], shutdown_on_exit=False).get_meter("shop")
    for child, turns in enumerate(children):
        reader = DeltaReader(200)
        meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("shop")
        for recorded in turns:
            record(meter, kind, recorded)
            record(whole, kind, recorded)
            made, lost = reader.take()
            assert lost == []
            for body in frames.Incoming().feed(b"".join(made)):
                opened.books.take(child, frames.message(body)[1])
        opened.books.end(child, in_order=True)
    merged = [p for _, points in opened.books.points(opened.reader, lambda _: False, 5) for p in points.values()]
    data = single.get_metrics_data()
    scopes = data.resource_metrics[0].scope_metrics if data is not None else []
    assert by_labels(merged) == by_labels([p for s in scopes for m in s.metrics for p in m.data.data_points])
    assert opened.lost == []
