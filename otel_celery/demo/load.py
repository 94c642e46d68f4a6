"""The demo's load: which tasks are sent, how often, and a burst now and then."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from otel_celery.demo.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARES = {
    "market.quote": 14,
    "orders.place": 9,
    "orders.cancel": 3,
    "market.candle": 3,
    "allocations.rebalance": 3,
    "pipelines.ingest": 2,
    "pipelines.transform": 1.5,
    "housekeeping.clean": 0.7,
    "housekeeping.report": 0.3,
}
"""How often each task is sent, relative to the others."""

TICK = 0.1
BURST = 60
BURSTS_EVERY = 25.0
"""Seconds between two bursts, on the average."""

EXPIRES = 60
"""Seconds after which a message is worth nothing: on a real broker nothing of the demo lasts."""


class Load:
    """Sends tasks until it is told to stop."""

    def __init__(self, rate: float) -> None:
        """Send so many tasks a second, on the average."""
        self._rate = rate
        self.sent = 0
        self.lost = 0
        """Messages that the broker did not take."""
        self.why = ""
        """The exception of the last one of these."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until ``stopping`` is set."""
        due = 0.0
        while not stopping.is_set():
            due += self._rate * TICK
            batch, due = int(due), due % 1
            if random.random() < TICK / BURSTS_EVERY:  # noqa: S311  it makes up a load
                batch += BURST
            await asyncio.to_thread(self._send, batch)
            await asyncio.sleep(TICK)

    def _send(self, count: int) -> None:
        for name in chosen(count):
            try:
                app.send_task(name, expires=EXPIRES, retry=False)
            except Exception as error:  # noqa: BLE001  kombu's OperationalError, and what each transport adds to it
                self.lost += 1
                self.why = type(error).__name__
            else:
                self.sent += 1


def chosen(count: int) -> Iterator[str]:
    """Choose the names of so many tasks."""
    yield from random.choices(list(SHARES), list(SHARES.values()), k=count)  # noqa: S311  it makes up a load
