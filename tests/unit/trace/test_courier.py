"""Errands are run in order; whoever waits for them waits a bounded time."""

from __future__ import annotations

import threading
import time

from otel_celery.trace.courier import Courier, bounded


def test_errands_are_run_in_order_and_a_failing_one_stops_none() -> None:
    """What an errand raises is heard, and the next is run."""
    done: list[object] = []
    courier = Courier(done.append)
    courier.ask(lambda: 1 / 0)
    courier.ask(lambda: done.append("second"))
    assert courier.settle(30)
    assert [type(done[0]), done[1]] == [ZeroDivisionError, "second"]


def test_nobody_waits_longer_than_the_bound() -> None:
    """An errand that hangs is left behind."""
    hanging = threading.Event()
    began = time.monotonic()
    assert not bounded(0.1, hanging.wait, print)
    assert time.monotonic() - began < 30
    hanging.set()
