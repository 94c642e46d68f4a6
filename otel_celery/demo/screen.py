"""Show the demo's pools: the live view on a terminal, or else a table, printed every few seconds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from otel_celery.demo.ending import STOPPING
from otel_celery.pools.client import Identity
from otel_celery.pools.status import ask
from otel_celery.pools.table import table
from otel_celery.top.terminal import is_terminal
from otel_celery.watch.asking import Asker
from otel_celery.watch.endpoints import of_pool
from otel_celery.watch.fleet import Fleet
from otel_celery.watch.sources import Given

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.table import Table

    from otel_celery.demo.load import Load
    from otel_celery.pools.plan import Pool
    from otel_celery.settings.settings import Port
    from otel_celery.top.app import Top

LIVE = 1.0
"""Seconds between two looks on a terminal."""
PLAIN = 5.0
"""Seconds between two tables elsewhere."""

TIMEOUT = 0.8
"""Seconds that a pool has to answer a scrape."""


class Screen:
    """Shows the pools until the demo is over."""

    def __init__(self, console: Console, pools: Sequence[Pool], port: Port, load: Load, following: str) -> None:
        """Show these pools and the load on them; ``port`` is the pools' Port, save for the number.

        ``following`` is what somebody may do next, while the demo runs.
        """
        self._console = console
        self._pools = pools
        self._port = port
        self._load = load
        self._following = following
        self.has_failed = False
        """Whether the live view ended by an error of its own, which it has printed."""

    async def run(self, stopping: asyncio.Event, over: asyncio.Event, stop: Callable[[], None]) -> None:
        """Show the live view until the demo is over, or print tables until ``stopping`` is set.

        The view takes the keyboard, so that Ctrl-C is a key there: it calls ``stop``, as often as it is pressed.
        """
        if is_terminal():
            await self._view(stopping, over, stop)
            return
        while not stopping.is_set():
            self._console.print(await self._draw())
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopping.wait(), PLAIN)

    async def _view(self, stopping: asyncio.Event, over: asyncio.Event, stop: Callable[[], None]) -> None:
        from otel_celery.top.app import Top  # noqa: PLC0415  takes a third of a second, and is for terminals alone

        is_tls = self._port.tls is not None
        endpoints = [of_pool(pool, self._port, is_tls=is_tls) for pool in self._pools]
        fleet = Fleet([Given(endpoints)], Asker(self._port, Identity(), TIMEOUT))
        app = Top(
            fleet,
            LIVE,
            caption=lambda: STOPPING if stopping.is_set() else self._said(),
            notice=lambda: "" if stopping.is_set() else self._following,
            leave=stop,
        )
        ending = asyncio.create_task(_end(app, stopping, over))
        try:
            await app.run_async()
        finally:
            self.has_failed = bool(app.return_code)  # now: the end of the view that is to come sets it anew
            if not stopping.is_set():
                stop()  # the view is gone, by an error of its own
            await ending

    async def _draw(self) -> Table:
        drawn = table(await asyncio.to_thread(ask, self._pools, self._port, TIMEOUT))
        drawn.caption = self._said()
        return drawn

    def _said(self) -> str:
        lost = f", {self._load.lost} not taken by the broker ({self._load.why})" if self._load.lost else ""
        return f"{self._load.sent} tasks sent{lost}"


async def _end(app: Top, stopping: asyncio.Event, over: asyncio.Event) -> None:
    """Say at once that the demo stops, and take the view away when it has."""
    await stopping.wait()
    app.tell()
    await over.wait()
    app.exit()
