"""The demo's tasks: short, and now and then unlucky in each way that a task can be."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from celery.exceptions import Reject

from otel_celery.demo.app import app

if TYPE_CHECKING:
    from celery import Task


class PaymentDeclinedError(Exception):
    """The customer's bank said no."""


class VenueUnavailableError(Exception):
    """The exchange does not answer; it may do so later."""


class StaleQuoteError(Exception):
    """The price is older than the order allows."""


@app.task(name="orders.place", bind=True, max_retries=3, default_retry_delay=1)
def place_order(self: Task) -> None:
    """Place an order; the venue is away at times, and a customer's payment may be declined."""
    _work(0.04)
    if _chance(0.04):
        raise self.retry(exc=VenueUnavailableError("no answer"), countdown=1)
    if _chance(0.05):
        raise PaymentDeclinedError("insufficient funds")


@app.task(name="orders.cancel")
def cancel_order() -> None:
    """Cancel an order, unless there is no such order: then the message is of no use to anybody."""
    _work(0.015)
    if _chance(0.05):
        raise Reject("no such order", requeue=False)


@app.task(name="pipelines.ingest")
def ingest() -> None:
    """Read a file of positions."""
    _work(0.15)


@app.task(name="pipelines.transform", soft_time_limit=0.9)
def transform() -> None:
    """Bring a file in shape; a large one runs into its soft limit."""
    _work(5.0 if _chance(0.04) else 0.25)


@app.task(name="allocations.rebalance", soft_time_limit=2, time_limit=3)
def rebalance() -> None:
    """Rebalance a portfolio; one in a while does not converge, and takes no hint to stop."""
    if not _chance(0.02):
        return _work(0.12)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            time.sleep(1)
        except Exception:  # noqa: BLE001, S112  the soft limit: what code that swallows everything does
            continue
    return None


@app.task(name="market.quote")
def quote() -> None:
    """Take a quote; a stale one is an error."""
    _work(0.008)
    if _chance(0.03):
        raise StaleQuoteError("2.1 s old")


@app.task(name="market.candle")
def candle() -> None:
    """Close a candle of many quotes."""
    _work(0.03)


@app.task(name="housekeeping.report")
def report() -> None:
    """Write the report that nobody reads."""
    _work(0.5)


@app.task(name="housekeeping.clean")
def clean() -> None:
    """Throw away what is old."""
    _work(0.06)


def _work(mean: float) -> None:
    """Take about so many seconds, sometimes much more, as work does."""
    time.sleep(random.lognormvariate(0, 0.5) * mean)


def _chance(probability: float) -> bool:
    return random.random() < probability  # noqa: S311  it decides a made-up fate
