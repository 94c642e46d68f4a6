"""The wait between a death and the next start."""

from __future__ import annotations

from otel_celery.pools.backoff import Backoff


def test_the_wait_doubles_up_to_a_bound() -> None:
    """A worker that dies at once is not started in a tight loop."""
    backoff = Backoff()
    assert [backoff.after(0.1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_long_life_begins_anew() -> None:
    """A death after a minute is a first one."""
    backoff = Backoff()
    assert [backoff.after(lived) for lived in (0, 0, 60, 0)] == [1, 2, 1, 2]
