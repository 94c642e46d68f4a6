"""What a child's reader collected, as plain values."""

from __future__ import annotations

import marshal

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from otel_celery.relay import points
from otel_celery.relay.sender import DeltaReader


def test_labels_are_cleaned_cut_and_ordered() -> None:
    """Equal attributes are equal labels, whatever their order; nothing is left that cannot be encoded."""
    made = points.labels({"b": "x" * 50, "a": "t\udce9", "n": 1, "t": True, "l": ["\udce9", 2], "d": {"k": b"v"}}, 8)
    assert made == (("a", "t?"), ("b", "x" * 8), ("d", '{"k": "b'), ("l", ("?", 2)), ("n", 1), ("t", True))
    assert marshal.dumps(made)
    assert points.labels(None, 8) == ()


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
    first, _ = reader.take()
    assert [(item[1], item[4]) for item in first] == [("c", "counter"), ("g", "gauge"), ("h", "histogram")]
    assert first[0] == (("shop", "1", "", ()), "c", "", "", "counter", (), [((("a", "b"),), 2)])
    assert first[2][5:] == ((1.0,), [((), 0.5, 0.5, 0.5, (1, 0))])
    assert reader.take() == ([], 0)
    counter.add(1)
    meter.create_up_down_counter("u").add(-1)
    held("l", [lambda _: [Observation(3)]])
    assert [(item[1], item[4], item[6][0][1]) for item in reader.take()[0]] == [
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
    assert [len(item[6]) for item in reader.take()[0]] == [500, 500, 200]


def test_exponential_histograms_are_counted_as_lost() -> None:
    """A view of the application may ask for them; they cannot be merged."""
    reader = DeltaReader(200)
    views = [View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], views=views, shutdown_on_exit=False)
    provider.get_meter("m").create_histogram("h").record(1)
    assert reader.take() == ([], 1)
