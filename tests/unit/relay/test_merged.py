"""What children told, merged: sums, newest values, buckets, and what a death takes back."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_celery.lifecycle import Loss
from otel_celery.relay.main import merged as module
from otel_celery.relay.main.merged import Merged

SCOPE = ("shop", None, None, ())


class Opened:
    """Merged, what they lost, and two readers."""

    def __init__(self) -> None:
        """Open them."""
        self.lost: list[tuple[Loss, int, str]] = []
        self.books = Merged(self._lost, 1)
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


@pytest.mark.parametrize("kind", ["up_down", "level"])
@pytest.mark.parametrize("odd", [float("inf"), float("-inf"), float("nan"), 1e308])
def test_f65_what_is_no_number_goes_with_its_child(kind: str, odd: float) -> None:
    """Infinity less infinity is none, and would stay for ever; what others have added stands."""
    opened = Opened()
    opened.tell(1, kind, ((), odd))
    opened.tell(2, kind, ((), 3))
    opened.tell(3, kind, ((), odd))
    opened.tell(4, kind, ((), 4))
    opened.books.end(4, in_order=True)
    opened.books.end(1, in_order=False)
    opened.books.end(3, in_order=False)
    assert opened.values() == [3 if kind == "level" else 7]


@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
def test_f65_a_level_that_was_no_number_is_one_again(odd: float) -> None:
    """What a child observes now stands in place of what it observed before."""
    opened = Opened()
    for value in (1, odd, 5):
        opened.tell(1, "level", ((), value))
    assert opened.values() == [5]


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


ODD: list[Any] = [
    ("counter", ((), "1")),
    ("counter", ((), True)),
    ("counter", ((), None)),
    ("counter", ((), b"\0" * 8)),
    ("counter", ((), 1j)),
    ("counter", ((), 1, 2)),
    ("counter", ()),
    ("counter", None),
    ("counter", ([], 1)),
    ("counter", (((1, 2),), 1)),
    ("counter", ((("k", [1]),), 1)),
    ("counter", ((("k", (1, {2})),), 1)),
    ("counter", ((("k", {1: 2}),), 1)),
    ("counter", ((("k", 10**5_000),), 1)),
    ("gauge", ((), None, 1)),
    ("gauge", ((), -1, 1)),
    ("gauge", ((), 1 << 63, 1)),
    ("gauge", ((), 5, "1")),
    ("histogram", ((), 1, 1, 1, (1,))),
    ("histogram", ((), 1, 1, 1, [0, 1])),
    ("histogram", ((), 1, 1, 1, (0, 1.5))),
    ("histogram", ((), b"", 1, 1, (0, 1))),
    ("histogram", ((), 1, None, 1, (0, 1))),
]


@pytest.mark.parametrize(("kind", "point"), ODD)
def test_f66_an_odd_point_costs_itself(kind: str, point: Any) -> None:
    """It is left out whole and counted by name, wherever it stands; nothing is shown of it."""
    opened = Opened()
    good: Any = {"counter": ((), 2), "gauge": ((), 5, 2), "histogram": ((), 3, 1, 2, (1, 1))}[kind]
    bounds = (1.0,) if kind == "histogram" else ()
    opened.tell(1, kind, good, point, good, bounds=bounds)
    assert opened.values() == [{"counter": 4, "gauge": 2, "histogram": [2, 2]}[kind]]
    opened.tell(1, kind, point, name="alone", bounds=bounds)
    assert len(opened.values()) == 1, "no series is opened for it"
    assert opened.lost == [(Loss.VALUE, 1, "m"), (Loss.VALUE, 1, "alone")]


@pytest.mark.parametrize(
    "item",
    [
        None,
        ("nonsense",),
        (SCOPE, "m", "", "", "counter", (), None),
        (SCOPE, "m", "", "", "sum", (), []),
        (SCOPE, "m", "", "", ["counter"], (), []),
        (SCOPE, b"m", "", "", "counter", (), []),
        (SCOPE, "m", "", None, "counter", (), []),
        (SCOPE, "m", "", "", "histogram", (b"1",), []),
        (SCOPE, "m", "", "", "histogram", [1.0], []),
        (("shop",), "m", "", "", "counter", (), []),
        (("shop", 1, None, ()), "m", "", "", "counter", (), []),
        (("shop", None, None, (("k", {1}),)), "m", "", "", "counter", (), []),
    ],
)
def test_f66_an_odd_instrument_costs_itself(item: Any) -> None:
    """What is no instrument is counted; its neighbours are taken."""
    opened = Opened()
    good = (SCOPE, "good", "", "", "counter", (), [((), 2)])
    opened.books.take(1, [good, item, good])
    assert (opened.values(), opened.lost) == ([4], [(Loss.MALFORMED, 1, "")])
    opened.books.take(1, item)
    assert opened.lost[1:] == [(Loss.MALFORMED, 1, "")]


def test_what_a_child_could_not_send_is_counted() -> None:
    """By reason and name; what is no such word is malformed."""
    opened = Opened()
    opened.books.lose([("value", 3, "m"), ("unsupported", 1, "h"), ("nonsense", 1, "m"), ("value", "x", "m"), 5])
    opened.books.lose(7)
    assert opened.lost[:2] == [(Loss.VALUE, 3, "m"), (Loss.UNSUPPORTED, 1, "h")]
    assert opened.lost[2:] == [(Loss.MALFORMED, 1, "")] * 4


@pytest.mark.parametrize("kind", ["counter", "up_down", "level", "histogram"])
def test_f66_an_integer_that_no_float_can_hold_costs_what_cannot_be_added_to_it(kind: str) -> None:
    """Integers stay exact; a float beside them is left out whole, in adding, in reading, and at a death."""
    opened, huge = Opened(), 10**309
    whole: Any = {"histogram": ((), huge, huge, huge, (0, 1))}.get(kind, ((), huge))
    half: Any = {"histogram": ((), 0.5, 0.5, 0.5, (1, 0))}.get(kind, ((), 0.5))
    bounds = (1.0,) if kind == "histogram" else ()
    opened.tell(1, kind, whole, bounds=bounds)
    before = opened.values()
    opened.tell(2, kind, half, bounds=bounds)
    opened.tell(2, kind, ((("k", 1),), *half[1:]), bounds=bounds)
    assert opened.values()[:1] == before
    opened.books.end(2, in_order=False)
    assert opened.values()[:1] == before
    assert (Loss.VALUE, 1, "m") in opened.lost


def test_f66_a_death_that_cannot_be_taken_back_spares_the_others() -> None:
    """The series that overflows is left as it is; the one behind it is taken back, and a reader of changes goes on."""
    opened, huge = Opened(), 10**309
    opened.tell(1, "up_down", ((), huge), ((("k", 1),), 5))
    assert opened.values(changes=True) == [huge, 5]
    opened.tell(2, "up_down", ((), -huge))
    opened.tell(3, "up_down", ((), 0.5))
    assert opened.values(changes=True) == []
    opened.books.end(1, in_order=False)
    assert opened.values() == [0.5, 0]
    opened.tell(3, "up_down", ((), 1.0))
    assert opened.values(changes=True) == [1.0, -5]
    assert opened.lost == [(Loss.VALUE, 1, "m")] * 2
