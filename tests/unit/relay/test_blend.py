"""The children's metrics and the main process's own, as one collection."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from otel_celery.lifecycle import Loss
from otel_celery.relay.main.blend import Blender
from otel_celery.relay.main.merged import Merged

SCOPE = ("shop", None, "", ())


def blended(record, *items: Any) -> dict[str, list[Any]]:
    """Blend what children told into what the main process recorded; give each metric's values."""
    reader = InMemoryMetricReader()
    record(MeterProvider([reader], shutdown_on_exit=False).get_meter("shop"))
    books = Merged(lambda *_, **__: None, 1)
    books.take(1, [(SCOPE, name, "", "", kind, bounds, points) for name, kind, bounds, points in items])
    merged = books.points(reader, lambda _: False, 5)
    data = Blender(200, lambda *_, **__: None)(reader.get_metrics_data(), merged, Resource({}), lambda _: False)
    if data is None:
        return {}
    found: dict[str, list[Any]] = {}
    for scope in data.resource_metrics[0].scope_metrics:
        for metric in scope.metrics:
            points: Any = metric.data.data_points
            found.setdefault(metric.name, []).append([getattr(p, "value", getattr(p, "count", None)) for p in points])
    return found


def test_an_instrument_of_both_sides_is_one_metric() -> None:
    """Counts of equal labels are added, the children's gauge is shown, other labels stand beside them."""

    def record(meter) -> None:
        meter.create_counter("c").add(1, {"a": "b"})
        meter.create_counter("c").add(5, {"a": "only here"})
        meter.create_gauge("g").set(1)
        meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1.0]).record(0.5)

    assert blended(
        record,
        ("c", "counter", (), [((("a", "b"),), 2), ((), 7)]),
        ("g", "gauge", (), [((), 0, 9)]),
        ("h", "histogram", (1.0,), [((), 3.0, 1.5, 1.5, (0, 2))]),
    ) == {"c": [[3, 5, 7]], "g": [[9]], "h": [[3]]}


def test_where_the_main_process_recorded_nothing() -> None:
    """The children's metrics are a collection of their own, and nothing is none."""
    assert blended(lambda _: None, ("c", "counter", (), [((), 2)])) == {"c": [[2]]}
    assert blended(lambda _: None) == {}


def test_other_kinds_of_one_name_are_kept_apart() -> None:
    """They are two metrics to OpenTelemetry; the port decides which it shows."""
    assert blended(lambda meter: meter.create_gauge("m").set(1), ("m", "counter", (), [((), 2)])) == {"m": [[1], [2]]}


def test_other_bounds_than_the_main_process_has_are_counted_once() -> None:
    """The main process's histogram is shown, and each series that is left out is counted and named, however often."""
    lost: list[tuple[Any, ...]] = []
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("shop")
    mine = meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1.0])
    mine.record(0.5)
    mine.record(0.5, {"a": "b"})
    books = Merged(lambda *_, **__: None, 1)
    points = [
        ((), 9.0, 1.5, 7.5, (0, 2)),
        ((("a", "b"),), 3.0, 3.0, 3.0, (0, 1)),
        ((("a", "c"),), 3.0, 3.0, 3.0, (0, 1)),
    ]
    books.take(1, [(("shop", None, "", ()), "h", "", "", "histogram", (2.0,), points)])
    blender = Blender(200, lambda reason, number=1, *, name="": lost.append((reason, number, name)))
    for _ in range(3):
        merged = books.points(reader, lambda _: False, 5)
        data = blender(reader.get_metrics_data(), merged, Resource({}), lambda _: False)
        assert data is not None
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert [point.count for point in metric.data.data_points] == [1, 1, 1]  # type: ignore[union-attr]
    assert lost == [(Loss.MISMATCH, 1, "h")] * 2
