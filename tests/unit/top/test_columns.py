"""Columns that give way, and rows in order."""

from __future__ import annotations

import pytest

from otel_celery.top import columns, drawing
from otel_celery.watch.model import State, Worker


@pytest.mark.parametrize("width", [20, 40, 79, 80, 118, 200, 300])
@pytest.mark.parametrize(
    "kind", [columns.WORKERS, columns.tasks(0), columns.QUEUES, columns.PROBLEMS], ids=lambda k: k.name
)
def test_what_is_chosen_fills_the_width_and_no_more(kind: columns.Kind, width: int) -> None:
    """The first column is always there; what is of the lowest rank stays longest."""
    chosen = columns.fitting(kind.columns, width)
    assert chosen[0][0] is kind.columns[0]
    assert sum(room + 1 for _, room in chosen) - 1 <= width
    highest = max(column.rank for column, _ in chosen)
    assert {column.title for column in kind.columns if column.rank < highest} <= {column.title for column, _ in chosen}


def test_numbers_begin_with_the_greatest_and_what_is_not_known_is_last() -> None:
    """Whichever way round."""
    p95 = next(column for column in columns.WORKERS.columns if column.title == "p95")
    rows = [Worker("u", name, "p", State.UP, p95=value) for name, value in (("a", 1.0), ("b", None), ("c", 2.0))]
    assert [row.name for row in columns.ordered(rows, p95, is_reversed=False)] == ["c", "a", "b"]
    assert [row.name for row in columns.ordered(rows, p95, is_reversed=True)] == ["a", "c", "b"]


def test_what_is_not_nothing_is_never_drawn_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One task of a thousand slots is a block; and a terminal without blocks has letters."""
    monkeypatch.setattr(drawing, "is_ascii", lambda: False)
    assert (drawing.bar(1, 1000, 5), drawing.bar(0, 8, 5), drawing.bar(9, 8, 5)) == ("█░░░░", "░░░░░", "█████")
    assert drawing.spark([0, 0.01, 8], 4) == "  ▁█"
    monkeypatch.setattr(drawing, "is_ascii", lambda: True)
    assert (drawing.bar(4, 8, 4), drawing.spark([0, 4, 8], 3)) == ("##--", " =#")
