"""How long a loop has stood still, when a full pool is the reason and when it is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from otel_celery.observe.turns import Turns


class Site:
    """A worker of two slots, and a clock that is moved by hand."""

    def __init__(self, *, is_green: bool = False) -> None:
        """Be idle."""
        self.now, self.active = 1_000.0, 0
        pool = SimpleNamespace(num_processes=2, is_green=is_green)
        self.turns = Turns(SimpleNamespace(pool=pool), lambda: self.active)

    def stall(self, after: float = 0.0) -> float | None:
        """Let seconds go by, and ask."""
        self.now += after
        return self.turns.stall()


@pytest.fixture(params=[False, True], ids=["processes", "green"])
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Give a worker, with and without greenlets."""
    made = Site(is_green=request.param)
    monkeypatch.setattr("otel_celery.observe.turns.time.monotonic", lambda: made.now)
    return made


def test_nothing_is_known_before_the_first_turn(site: Site) -> None:
    """A worker that is starting does not stand still, whatever its consumer does."""
    site.active = 2
    site.turns.resumed()
    assert site.stall(100) is None
    site.turns.turned()
    assert site.stall(3) in {0.0, 3.0}


def test_a_loop_stands_still_with_free_slots(site: Site) -> None:
    """The timer may say that the turn is overdue as often as it likes."""
    site.turns.turned()
    site.active = 1
    for _ in range(40):
        site.now += 1
        site.turns.overdue()
    assert site.stall() == 40


def test_a_full_pool_holds_the_loop_up_for_hours_and_the_stall_begins_with_a_free_slot(site: Site) -> None:
    """The timer sees each second that the pool is full."""
    site.turns.turned()
    site.active = 2
    for _ in range(2 * 3_600):
        site.now += 1
        site.turns.overdue()
        assert site.stall() == 0
    site.active = 1
    for _ in range(31):
        site.now += 1
        site.turns.overdue()
    assert site.stall() == 31


@pytest.mark.parametrize("site", [False], indirect=True)
def test_without_its_timer_a_pool_of_processes_is_looked_at_by_whoever_asks(site: Site) -> None:
    """The timer's thread submits tasks with an ETA, and waits for a slot itself."""
    site.turns.turned()
    site.active = 2
    assert [site.stall(15) for _ in range(4)] == [0, 0, 0, 0]
    site.active = 0
    assert site.stall(15) == 15


@pytest.mark.parametrize("site", [True], indirect=True)
def test_without_its_timer_a_green_pool_stands_still_though_it_is_full(site: Site) -> None:
    """The timer is a greenlet: that it does not run means that none does."""
    site.turns.turned()
    site.active = 2
    assert site.stall(31) == 31


def test_a_connection_that_comes_back_is_a_turn(site: Site) -> None:
    """The loop has not turned while the broker was sought, which is not what it is judged by."""
    site.turns.turned()
    assert site.stall(600) == 600
    site.turns.resumed()
    assert site.stall(5) == 5


def test_a_clock_that_goes_backwards_is_no_negative_stall(site: Site) -> None:
    """Whatever the clock does, a stall is not negative."""
    site.turns.turned()
    assert site.stall(-5) == 0


def test_a_pool_may_be_gone(site: Site) -> None:
    """At its end a worker has no pool."""
    site.turns.turned()
    worker: Any = site.turns._worker
    worker.pool = None
    assert site.stall(2) == 2
