"""Show the table of the demo's pools: live on a terminal, or else printed every few seconds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.live import Live

from otel_celery.pools.status import ask
from otel_celery.pools.table import table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.table import Table

    from otel_celery.demo.load import Load
    from otel_celery.pools.plan import Pool
    from otel_celery.settings.settings import Port

LIVE = 1.0
"""Seconds between two tables on a terminal."""
PLAIN = 5.0
"""Seconds between two tables elsewhere."""

TIMEOUT = 0.8
"""Seconds that a pool has to answer a scrape."""


class Screen:
    """Draws the pools until it is told to stop."""

    def __init__(self, console: Console, pools: Sequence[Pool], port: Port, load: Load) -> None:
        """Draw these pools and the load on them; ``port`` is the pools' Port, save for the number."""
        self._console = console
        self._pools = pools
        self._port = port
        self._load = load

    async def run(self, stopping: asyncio.Event) -> None:
        """Draw until ``stopping`` is set."""
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False) as live:
                await self._repeat(stopping, LIVE, lambda drawn: live.update(drawn, refresh=True))
        else:
            await self._repeat(stopping, PLAIN, self._console.print)

    async def _repeat(self, stopping: asyncio.Event, every: float, show: Callable[[Table], None]) -> None:
        while not stopping.is_set():
            show(await self._draw())
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopping.wait(), every)

    async def _draw(self) -> Table:
        drawn = table(await asyncio.to_thread(ask, self._pools, self._port, TIMEOUT))
        lost = f", {self._load.lost} not taken by the broker ({self._load.why})" if self._load.lost else ""
        drawn.caption = f"{self._load.sent} tasks sent{lost}"
        return drawn
