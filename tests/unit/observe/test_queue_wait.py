"""The wait from publishing to acceptance: what the header of a message says, and what it may not."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from otel_celery.lifecycle import SENT_HEADER
from tests.unit.observe.fakes import Bench

HOSTILE: list[object] = [
    "1764302400.5",
    None,
    True,
    {},
    [],
    b"\xff",
    math.nan,
    math.inf,
    -math.inf,
    -1.5,
    0.0,
    12.5,
    10**400,
]


def waited(seconds: float = 0.0, **message: Any) -> float | None:
    """Have a message received, and accepted at a moment so many seconds later; tell the wait that is observed."""
    bench = Bench()
    bench.started(bench.request(**message), -seconds)
    (queued,) = bench.book.queued
    assert bench.life == ["received again" if message.get("redelivered") else "received", "started"]
    return queued


def sent(ago: float) -> dict[str, float]:
    """Make the headers of a message that was published so many seconds ago."""
    return {SENT_HEADER: time.time() - ago}


def test_it_runs_from_publishing_to_acceptance() -> None:
    """Five seconds in the queue and three in the worker are eight."""
    assert waited(3, more=sent(5)) == pytest.approx(8, abs=1)


def test_a_message_without_the_header_has_none() -> None:
    """Its publisher lacks the library."""
    assert waited(3) is None


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_a_value_that_is_no_time_is_no_observation(value: object) -> None:
    """Whatever another program has put there, the task is received and started as ever."""
    assert waited(more={SENT_HEADER: value}) is None


def test_a_redelivered_message_has_none() -> None:
    """It may have been observed before, here or elsewhere."""
    assert waited(more=sent(5), redelivered=True) is None


@pytest.mark.parametrize(("due", "expected"), [(60, 2), (-3, 5), (-90, 7)])
def test_it_begins_with_a_later_eta(due: float, expected: float) -> None:
    """Due in a minute and accepted two seconds after that; due three seconds ago; due before it was published."""
    eta = (datetime.now(timezone.utc) + timedelta(seconds=due)).isoformat()
    after = max(0.0, due) + 2
    assert waited(after, more=sent(5), eta=eta) == pytest.approx(expected, abs=1)


def test_a_publisher_whose_clock_is_ahead_is_told_as_negative() -> None:
    """The observer counts it."""
    queued = waited(1, more=sent(-100))
    assert queued is not None
    assert queued == pytest.approx(-99, abs=1)
