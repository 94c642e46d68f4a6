"""The signs of life of a scheduler, and what a probe says of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from otel_celery.beat import pulse as module
from otel_celery.beat.pulse import Pulse
from otel_celery.serve.health import BROKER_SECONDS, TICK_SECONDS, BeatHealth


class Clock:
    """Both clocks, as a test sets them."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 500.0

    def monotonic(self) -> float:
        """Tell the time that never jumps."""
        return self.now

    def time(self) -> float:
        """Tell the time of day."""
        return 1_000_000.0 + self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Set the clocks by hand."""
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_a_beat_that_has_not_begun(clock: Clock) -> None:
    """It may wait for RedBeat's lock for days: it is healthy, not ready, and has no last tick."""
    pulse = Pulse()
    clock.now += 1_000_000
    assert (pulse.last_tick(), pulse.silence(), pulse.entries()) == (None, None, None)
    assert (BeatHealth(pulse).healthy(), BeatHealth(pulse).ready()) == (None, "beat has not ticked yet")


def test_ticks_that_stop(clock: Clock) -> None:
    """It is healthy for as long as the schedule may sleep, and half a minute; then both probes say so."""
    pulse = Pulse()
    pulse.began()
    pulse.ended(300, 12.5)
    clock.now += 300 + TICK_SECONDS
    assert (BeatHealth(pulse).healthy(), BeatHealth(pulse).ready()) == (None, None)
    clock.now += 0.5
    sentence = "beat has not ticked for 330 s, and sleeps for 300 s at most"
    assert (BeatHealth(pulse).healthy(), BeatHealth(pulse).ready()) == (sentence, sentence)
    assert pulse.last_tick() == 1_000_500.0
    pulse.began()
    assert BeatHealth(pulse).healthy() is None
    assert pulse.last_tick() == 1_000_830.5


def test_a_schedule_that_sleeps_little(clock: Clock) -> None:
    """Between two attempts to reach the broker a minute may pass, in a schedule that sleeps for five seconds too."""
    pulse = Pulse()
    pulse.ended(5, 5)
    clock.now += BROKER_SECONDS + TICK_SECONDS
    assert BeatHealth(pulse).healthy() is None
    clock.now += 1
    assert BeatHealth(pulse).healthy() == "beat has not ticked for 91 s, and sleeps for 5 s at most"


def test_a_broker_that_is_away(clock: Clock) -> None:
    """Each attempt shows life; beat is not ready until it has sent, or ticked."""
    pulse = Pulse()
    pulse.began()
    for _ in range(20):
        clock.now += 60
        pulse.refused()
    assert (BeatHealth(pulse).healthy(), BeatHealth(pulse).ready()) == (None, "beat cannot reach the broker")
    pulse.sent()
    assert BeatHealth(pulse).ready() is None
    pulse.refused()
    pulse.ended(300, 1)
    assert BeatHealth(pulse).ready() is None


@pytest.mark.parametrize("odd", [None, "x", -1, float("nan"), float("inf"), object(), Decimal("NaN")])
def test_a_longest_sleep_that_is_none(odd: Any) -> None:
    """Celery's own stands for it."""
    pulse = Pulse()
    pulse.ended(odd, odd)
    assert pulse.longest_sleep() == 300.0


@pytest.mark.parametrize(("longest", "interval", "expected"), [(5, 20.5, 20.5), (Decimal(7), 0, 7.0), (0, None, 0.0)])
def test_the_longest_sleep(longest: Any, interval: Any, expected: float) -> None:
    """It is what the scheduler says, or what it asks for now if that is longer."""
    pulse = Pulse()
    pulse.ended(longest, interval)
    assert pulse.longest_sleep() == expected
