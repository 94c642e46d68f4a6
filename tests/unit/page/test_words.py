"""Numbers, durations and names as people read them."""

from __future__ import annotations

import math

import pytest

from otel_celery.page import words

MINUTE, HOUR, DAY = 60, 3_600, 86_400


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.0123, "12.3 ms"),
        (0.25, "250 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.5, "1.5 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (90, "1 min 30 s"),
        (HOUR - 0.4, "1 h"),
        (HOUR + 5 * MINUTE + 59, "1 h 5 min"),
        (DAY, "1 d"),
        (1_200 * DAY + 3 * HOUR, "1,200 d 3 h"),
        (-0.5, "0 ms"),
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "-"),
        (1e300, "-"),
    ],
)
def test_durations(seconds: float | None, told: str) -> None:
    """In two units at most, rounded; a clock that was set back makes none negative."""
    assert words.duration(seconds) == told


@pytest.mark.parametrize(
    ("number", "told"),
    [(0.0, "0"), (1203.0, "1,203"), (2.0**40, "1,099,511,627,776"), (1e300, "1e+300"), (math.nan, "-"), (None, "-")],
)
def test_counts(number: float | None, told: str) -> None:
    """Whole, with commas; what is no number is none."""
    assert words.count(number) == told


@pytest.mark.parametrize(
    ("moment", "told"),
    [(995.5, "4.5 s ago"), (999.5, "now"), (1_005.0, "now"), (0.0, "-"), (None, "-"), (math.inf, "-")],
)
def test_how_long_ago(moment: float | None, told: str) -> None:
    """What has not happened was never; what will happen, by a clock that is ahead, is now."""
    assert words.ago(moment, 1_000.0) == told


def test_moments() -> None:
    """In UTC; a moment that is none is not told."""
    assert words.time(1_795_879_194.0) == "2026-11-28 15:19:54 UTC"
    assert [words.time(moment) for moment in (math.nan, -1.0, 1e300)] == ["-"] * 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("orders.place", "orders.place"),
        ("caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600"),
        ("a\nb\x1b[31mc\u202ed\ud800", "a\ufffdb\ufffd[31mc\ufffdd\ufffd"),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 119 + "\u2026"),
        (None, "None"),
    ],
)
def test_names(name: object, told: str) -> None:
    """Cut, and without what moves a terminal or turns a line round."""
    assert words.name(name) == told
