"""Sums of rises, and how much of them was within a window."""

from __future__ import annotations

import pytest

from otel_celery.watch.totals import Totals


def played(seconds: int, rise: float = 2.0) -> Totals:
    """Add a rise each second."""
    totals = Totals(0.0)
    for second in range(seconds + 1):
        if second:
            totals.add([("a", "x")], rise)
        totals.keep(float(second))
    return totals


@pytest.mark.parametrize("seconds", [1, 7, 59, 61, 300, 1_000, 4_500])
@pytest.mark.parametrize("window", [60, 300, 900, 3_600])
def test_a_steady_counter_has_its_rate_however_long_it_is_watched(seconds: int, window: int) -> None:
    """Of the window, or of what was watched of it."""
    totals = played(seconds)
    assert totals.rate(("a", "x"), window) == pytest.approx(2.0, rel=0.05)
    assert min(window, seconds) <= totals.seconds(window) <= max(window * 1.25, window + 6)


def test_the_first_look_has_no_rate() -> None:
    """A rate needs two."""
    totals = Totals(0.0)
    totals.keep(3.0)
    assert totals.rate(("a", "x")) == 0


def test_what_is_long_over_is_in_no_window() -> None:
    """A burst is seen for as long as the window is."""
    totals = played(10, 5.0)
    for second in range(11, 100):
        totals.keep(float(second))
    assert totals.rise(("a", "x"), 60) == 0
    assert totals.rise(("a", "x"), 300) == totals.total(("a", "x")) == 50


def test_buckets_are_those_of_the_window_with_every_bound() -> None:
    """Also the bounds that nothing fell below: a quantile needs them."""
    totals = Totals(0.0)
    for bound in (0.1, 1.0, float("inf")):
        totals.meet(("h", "x", bound))
    totals.keep(0.0)
    totals.add([("h", "x", 1.0), ("h", "x", float("inf"))], 3)
    totals.keep(1.0)
    assert totals.buckets(("h", "x")) == {0.1: 0, 1.0: 3, float("inf"): 3}


def test_copies_are_few() -> None:
    """However often it is kept."""
    assert len(played(4_500)._kept) < 50
