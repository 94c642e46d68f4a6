"""The demo's tasks: short ones, which now and then fail, retry, are rejected, or reach a time limit."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from celery.exceptions import Reject

from otel_celery.demo.app import app

if TYPE_CHECKING:
    from celery import Task


class PaymentDeclinedError(Exception):
    """The customer's bank declined the payment."""


class VenueUnavailableError(Exception):
    """The exchange does not answer now, and may do so later."""


class StaleQuoteError(Exception):
    """The price is older than the order allows."""


@app.task(name="orders.place", bind=True, max_retries=3, default_retry_delay=1)
def place_order(self: Task) -> None:
    """Place an order; retry if the venue is unavailable, fail if the payment is declined."""
    _work(0.04)
    if _chance(0.04):
        raise self.retry(exc=VenueUnavailableError("no answer"), countdown=1)
    if _chance(0.05):
        raise PaymentDeclinedError("insufficient funds")


@app.task(name="orders.cancel")
def cancel_order() -> None:
    """Cancel an order; reject the message if there is no such order."""
    _work(0.015)
    if _chance(0.05):
        raise Reject("no such order", requeue=False)


@app.task(name="pipelines.ingest")
def ingest() -> None:
    """Read a file of positions."""
    _work(0.15)


@app.task(name="pipelines.transform", soft_time_limit=0.9)
def transform() -> None:
    """Transform a file; a large one reaches the soft time limit."""
    _work(5.0 if _chance(0.04) else 0.25)


@app.task(name="allocations.rebalance", soft_time_limit=2, time_limit=3)
def rebalance() -> None:
    """Rebalance a portfolio; now and then one ignores the soft time limit, and reaches the hard one."""
    if not _chance(0.02):
        return _work(0.12)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            time.sleep(1)
        except Exception:  # noqa: BLE001, S112  swallows the soft limit, as careless code does
            continue
    return None


@app.task(name="market.quote")
def quote() -> None:
    """Take a quote; fail if it is stale."""
    _work(0.008)
    if _chance(0.03):
        raise StaleQuoteError("2.1 s old")


@app.task(name="market.candle")
def candle() -> None:
    """Aggregate quotes into a candle."""
    _work(0.03)


@app.task(name="housekeeping.report")
def report() -> None:
    """Write a report."""
    _work(0.5)


@app.task(name="housekeeping.clean")
def clean() -> None:
    """Delete old data."""
    _work(0.06)


def _work(mean: float) -> None:
    """Sleep for a lognormal time around ``mean`` seconds, sometimes much longer, like real work."""
    time.sleep(random.lognormvariate(0, 0.5) * mean)


def _chance(probability: float) -> bool:
    return random.random() < probability  # noqa: S311  not for cryptography
