"""What children told, merged: sums, newest values, buckets, and what a death takes back."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_celery.lifecycle import Loss
from otel_celery.relay import books as module
from otel_celery.relay.books import Books

SCOPE = ("shop", None, None, ())


class Opened:
    """Books, what they lost, and two readers."""

    def __init__(self) -> None:
        """Open them."""
        self.lost: list[tuple[Loss, int, str]] = []
        self.books = Books(self._lost, 1)
        self.reader = InMemoryMetricReader()

    def _lost(self, reason: Loss, number: int = 1, *, name: str = "") -> None:
        self.lost.append((reason, number, name))

    def tell(self, child: int, kind: str, *points: Any, name: str = "m", bounds: tuple[float, ...] = ()) -> None:
        """Have a child tell."""
        self.books.take(child, [(SCOPE, name, "", "", kind, bounds, list(points))])

    def values(self, *, changes: bool = False, now: int = 5) -> list[Any]:
        """Read all values, or a histogram's counts."""
        made = self.books.points(self.reader, lambda _: changes, now)
        return [getattr(p, "value", getattr(p, "bucket_counts", None)) for _, points in made for p in points.values()]


@pytest.mark.parametrize(
    ("kind", "after", "in_order", "killed"),
    [("counter", 5, 5, 5), ("up_down", 5, 5, 3), ("level", 5, 3, 3)],
)
def test_sums_and_what_a_death_takes_back(kind: str, after: float, in_order: float, killed: float) -> None:
    """A counter keeps all; an up-down counter gives back what a killed child added; a level goes with its child."""
    for orderly, expected in ((True, in_order), (False, killed)):
        opened = Opened()
        opened.tell(1, kind, ((), 2))
        opened.tell(2, kind, ((), 3))
        assert opened.values() == [after]
        opened.books.end(1, in_order=orderly)
        opened.books.end(1, in_order=orderly)
        assert opened.values() == [expected]


def test_a_level_is_replaced() -> None:
    """What a child observes now stands in place of what it observed before."""
    opened = Opened()
    opened.tell(1, "level", ((), 7))
    opened.tell(1, "level", ((), 4))
    opened.tell(2, "level", ((), 1))
    assert opened.values() == [5]


def test_the_newest_gauge_wins() -> None:
    """Whoever set it last, not whoever was heard last."""
    opened = Opened()
    opened.tell(1, "gauge", ((), 20, 1.5))
    opened.tell(2, "gauge", ((), 10, 9.0))
    opened.books.end(1, in_order=False)
    assert opened.values() == [1.5]


def test_buckets_are_added_and_other_bounds_refused() -> None:
    """A child whose bounds differ is left out, and said."""
    opened = Opened()
    opened.tell(1, "histogram", ((), 0.5, 0.5, 0.5, (1, 0)), bounds=(1.0,))
    opened.tell(2, "histogram", ((), 7.0, 3.0, 4.0, (0, 2)), bounds=(1.0,))
    opened.tell(3, "histogram", ((), 7.0, 3.0, 4.0, (0, 2)), bounds=(2.0,))
    assert opened.lost == [(Loss.MISMATCH, 1, "m")]
    ((_, points),) = opened.books.points(opened.reader, lambda _: False, 5)
    (point,) = points.values()
    assert (point.count, point.sum, point.min, point.max, point.bucket_counts) == (3, 7.5, 0.5, 4.0, [1, 2])


def test_a_reader_of_changes_is_told_each_once() -> None:
    """Another reader is not disturbed, and nothing new is no point at all."""
    opened = Opened()
    for kind, bounds, point in (("counter", (), ((), 3)), ("histogram", (1.0,), ((), 0.5, 0.5, 0.5, (1, 0)))):
        opened.tell(1, kind, point, name=kind, bounds=bounds)
    assert opened.values(changes=True) == [3, [1, 0]]
    assert opened.values(changes=True) == []
    opened.tell(1, "counter", ((), 2), name="counter")
    other = opened.books.points(InMemoryMetricReader(), lambda _: True, 9)
    assert [point.value for stream, points in other for point in points.values() if stream.kind == "counter"] == [5]
    ((_, points),) = opened.books.points(opened.reader, lambda _: True, 9)
    (point,) = points.values()
    assert (point.value, point.start_time_unix_nano, point.time_unix_nano) == (2, 5, 9)


def test_equal_values_of_other_types_are_other_labels() -> None:
    """1, 1.0 and True are equal in Python, and not on the port."""
    opened = Opened()
    opened.tell(1, "counter", *(((("k", value),), 1) for value in (1, 1.0, True, "1")))
    assert opened.values() == [1, 1, 1, 1]


def test_bounds_on_label_sets_and_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over is added up, or left out and counted."""
    monkeypatch.setattr(module, "MAX_SERIES", 2)
    monkeypatch.setattr(module, "MAX_STREAMS", 2)
    opened = Opened()
    opened.tell(1, "counter", *(((("k", value),), 1) for value in range(5)))
    assert opened.values() == [1, 1, 3]
    opened.tell(1, "counter", ((), 1), name="two")
    opened.tell(1, "counter", ((), 1), ((("k", 1),), 1), name="three")
    assert opened.lost == [(Loss.LIMIT, 2, "three")]


def test_what_is_none_of_ours_raises() -> None:
    """The listener hears of it, and drops who said it."""
    with pytest.raises((TypeError, ValueError)):
        Opened().books.take(1, [("nonsense",)])  # type: ignore[list-item]
