"""What a child's reader collected, as plain values."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)

from otel_celery.lifecycle import Loss
from otel_celery.relay import sdk
from otel_celery.relay.child.delta import DeltaReader
from otel_celery.relay.wire import frames, points
from tests.integration.relay.hostile import AnyText, Once, raising

if TYPE_CHECKING:
    import pytest


def packed(reader: DeltaReader) -> tuple[list[points.Item], list[points.Loss]]:
    """Collect, and give the items of all frames, and what was lost."""
    made, lost = reader.take()
    messages = map(frames.message, frames.Incoming().feed(b"".join(made)))
    return [item for _, items in messages for item in items], lost


def test_only_what_is_new_is_collected() -> None:
    """Each collection has the changes since the last one; an observable up-down counter its value."""
    reader = DeltaReader(200)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("shop", "1")
    counter, gauge = meter.create_counter("c"), meter.create_gauge("g")
    held = meter.create_observable_up_down_counter
    counter.add(2, {"a": "b"})
    gauge.set(3)
    meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1.0]).record(0.5)
    first, _ = packed(reader)
    assert [(item[1], item[4]) for item in first] == [("c", "counter"), ("g", "gauge"), ("h", "histogram")]
    assert first[0] == (("shop", "1", "", ()), "c", "", "", "counter", (), [((("a", "b"),), 2)])
    assert first[2][5:] == ((1.0,), [((), 0.5, 0.5, 0.5, (1, 0))])
    assert reader.take() == ([], [])
    counter.add(1)
    meter.create_up_down_counter("u").add(-1)
    held("l", [lambda _: [Observation(3)]])
    assert [(item[1], item[4], item[6][0][1]) for item in packed(reader)[0]] == [
        ("c", "counter", 1),
        ("u", "up_down", -1),
        ("l", "level", 3),
    ]


def test_many_points_are_several_items() -> None:
    """A child that is killed while it sends loses a part, not all."""
    reader = DeltaReader(200)
    counter = MeterProvider([reader], shutdown_on_exit=False).get_meter("m").create_counter("c")
    for number in range(1_200):
        counter.add(1, {"n": number})
    assert [len(item[6]) for item in packed(reader)[0]] == [500, 500, 200]


def test_exponential_histograms_are_counted_as_lost() -> None:
    """A view of the application may ask for them; they cannot be merged."""
    reader = DeltaReader(200)
    views = [View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], views=views, shutdown_on_exit=False)
    provider.get_meter("m").create_histogram("h").record(1)
    assert reader.take() == ([], [("unsupported", 1, "h")])


def test_f66_one_bad_point_costs_itself() -> None:
    """What stands before and behind it in the collection arrives, and the loss is told by name, once."""
    reader = DeltaReader(200)
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("m")
    meter.create_counter("before").add(1)
    gauge = meter.create_gauge("g")
    for number, value in enumerate((1, Once(RuntimeError()), np.float64(0.5), Once(SystemExit(3)), Decimal(2))):
        gauge.set(value, {"n": number})
    meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1]).record(np.float32(0.25))
    items, lost = packed(reader)
    assert [(item[1], [point[0] for point in item[6]]) for item in items] == [
        ("before", [()]),
        ("g", [(("n", 0),), (("n", 2),), (("n", 4),)]),
        ("h", [()]),
    ]
    assert [type(value) for item in items for _, *values in item[6] for value in values] == [
        int,
        *(int, int),
        *(int, float),
        *(int, float),
        *(float, float, float, tuple),
    ]
    assert lost == [("value", 2, "g")]
    assert reader.take() == ([], [])


def test_f66_a_scope_that_is_odd_costs_its_own_metrics() -> None:
    """Attributes of a meter may be anything as well, and so may its name."""
    reader = DeltaReader(200)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("plain", attributes={"n": np.float64(0.5)}).create_counter("a").add(1)
    provider.get_meter(raising(str, "__str__", "__getitem__", "isascii")("own")).create_counter("b").add(1)
    items, lost = packed(reader)
    assert [item[0] for item in items] == [("plain", None, "", (("n", 0.5),)), ("own", None, "", ())]
    assert lost == []


def test_f66_what_is_too_long_for_one_frame_is_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """A point that is too long for any is left out, and counted; no other is."""
    monkeypatch.setattr(frames, "MAX_FRAME", 2_000)
    reader = DeltaReader(1_000)
    counter = MeterProvider([reader], shutdown_on_exit=False).get_meter("m").create_counter("c")
    for number in range(40):
        counter.add(1, {"n": number, "text": "x" * 300})
    counter.add(1, {"n": 40, "list": [letter * 900 for letter in "abc"]})
    items, lost = packed(reader)
    assert sorted(dict(point[0])["n"] for item in items for point in item[6]) == list(range(40))
    assert lost == [("value", 1, "c")]


def test_f66_bounds_are_plain() -> None:
    """They are what the port prints: 1 for an integer, 1.0 for a float."""
    reader = DeltaReader(200)
    bounds: Any = [np.int64(1), 2, np.float64(3.5), Decimal("4.5"), 5.0]
    views = [View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation(bounds))]
    MeterProvider([reader], views=views, shutdown_on_exit=False).get_meter("m").create_histogram("h").record(1)
    ((*_, made, _),), _ = packed(reader)
    assert repr(made) == "(1, 2, 3.5, 4.5, 5.0)"


def test_what_is_observed_is_told_as_changes_of_plain_numbers() -> None:
    """Numbers of classes that cannot be subtracted from each other are; label sets that became one are added up."""
    reader = DeltaReader(200)
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("m")
    told: list[Any] = [[Decimal("1.5"), np.float64(2), 3], [2.5, Decimal(2), 3], [2.5, Decimal(2), 3]]
    labels: list[Any] = ["a", AnyText("a"), "b"]

    def observe(_: object) -> list[Observation]:
        return [Observation(value, {"l": label}) for value, label in zip(told[0], labels, strict=True)]

    meter.create_observable_counter("c", [observe])
    meter.create_observable_up_down_counter("l", [observe])
    seen = []
    while told:
        items, lost = packed(reader)
        seen.append({item[1]: [(labels[0][1], value) for labels, value in item[6]] for item in items})
        assert lost == []
        told.pop(0)
    assert seen == [
        {"c": [("a", 3.5), ("b", 3)], "l": [("a", 3.5), ("b", 3)]},
        {"c": [("a", 1.0)], "l": [("a", 4.5), ("b", 3)]},
        {"l": [("a", 4.5), ("b", 3)]},
    ]


def test_f66_what_cannot_be_observed_costs_itself() -> None:
    """A label that cannot be hashed, and a callback that ends the thread: what is beside them is read, each time."""
    reader = DeltaReader(200)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    sdk.collect_apart_for(provider, reader, partial(reader.packer.lose, Loss.VALUE))
    meter = provider.get_meter("m")
    hostile: Any = raising(str, "__hash__")("x")

    def end(_: object) -> list[Observation]:
        raise SystemExit(3)

    meter.create_observable_gauge("bad", [lambda _: [Observation(1, {"l": hostile}), Observation(2)]])
    meter.create_observable_gauge("end", [end])
    once: Any = Once
    meter.create_observable_gauge("none", [lambda _: [Observation(once(RuntimeError()))]])
    meter.create_observable_gauge("good", [lambda _: [Observation(7)]])
    for _ in range(2):
        items, lost = packed(reader)
        assert [(item[1], item[6][0][2]) for item in items] == [("bad", 2), ("good", 7)]
        assert lost == [("value", 1, "bad"), ("value", 1, "end"), ("value", 1, "none")]
