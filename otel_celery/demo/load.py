"""The demo's load: a random mix of tasks at a steady rate, with a burst now and then."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from otel_celery import instrument
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
"""The share of each task in the load, relative to the others."""

TICK = 0.1
"""Seconds between two batches of tasks."""
BURST = 60
"""Additional tasks of a burst."""
BURSTS_EVERY = 25.0
"""Seconds between two bursts, on average."""

EXPIRES = 60
"""Seconds after which a message expires, so that nothing of the demo stays on a real broker."""


class Load:
    """Sends tasks until it is told to stop."""

    def __init__(self, rate: float) -> None:
        """Prepare to send ``rate`` tasks a second on average, besides the bursts."""
        self._rate = rate
        self.sent = 0
        self.lost = 0
        """The number of messages that the broker did not take."""
        self.why = ""
        """The class name of the exception of the last lost message."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until ``stopping`` is set."""
        instrumentation = instrument(app)  # so that the messages say when they were sent
        due = 0.0
        while not stopping.is_set():
            due += self._rate * TICK
            batch, due = int(due), due % 1
            if random.random() < TICK / BURSTS_EVERY:  # noqa: S311  it makes up a load
                batch += BURST
            await self._send_beside(batch, stopping)
            await asyncio.sleep(TICK)
        instrumentation.uninstrument()

    async def _send_beside(self, count: int, stopping: asyncio.Event) -> None:
        """Send a batch in a thread, which nobody waits for once the demo stops: without a broker it takes seconds."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._send(count, stopping)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send, daemon=True).start()
        waiting = [asyncio.ensure_future(event.wait()) for event in (sent, stopping)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()

    def _send(self, count: int, stopping: asyncio.Event) -> None:
        """Send a batch, or less once the demo stops: without a broker a message is given up after six seconds."""
        for name in chosen(count):
            if stopping.is_set():
                return
            try:
                app.send_task(name, expires=EXPIRES, retry=False)
            except Exception as error:  # noqa: BLE001  kombu's OperationalError, or an error of the transport
                self.lost += 1
                self.why = type(error).__name__
            else:
                self.sent += 1


def chosen(count: int) -> Iterator[str]:
    """Choose the names of ``count`` tasks at random, by SHARES."""
    yield from random.choices(list(SHARES), list(SHARES.values()), k=count)  # noqa: S311  it makes up a load
