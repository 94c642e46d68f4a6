"""A fleet whose views a test writes, and the screen as text."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_celery.pools.client import Identity
from otel_celery.settings.settings import Port as Settings
from otel_celery.top.app import Top
from otel_celery.watch.asking import Asker
from otel_celery.watch.detail import Detail
from otel_celery.watch.endpoints import of_url
from otel_celery.watch.fleet import Fleet
from otel_celery.watch.model import Problem, Queue, State, Subject, Task, View, Worker
from otel_celery.watch.sources import Given

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from textual.pilot import Pilot

SCREENS = Path(__file__).with_name("screens")
INTERVAL = 0.2


def fleet(*addresses: str) -> Fleet:
    """Watch real ports."""
    return Fleet([Given([of_url(address) for address in addresses])], Asker(Settings(), Identity(), 1))


@asynccontextmanager
async def shown(watched: Any, size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Top, Pilot[None]]]:
    """Run the view without a terminal, once it has shown something."""
    app = Top(watched, INTERVAL)
    async with app.run_test(size=size) as pilot:
        await until(lambda: app.view is not None)
        await pilot.pause()
        yield app, pilot


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def lines(app: Top) -> list[str]:
    """Read the screen."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


def text(app: Top) -> str:
    """Read the screen, as one text."""
    return "\n".join(lines(app))


class Still:
    """A fleet that says the same at each look."""

    def __init__(self, view: View) -> None:
        """Say this."""
        self.view = view
        self.looks = 0

    async def look(self, patience: float | None = None) -> View:  # noqa: ARG002  Fleet's signature
        """Say it."""
        self.looks += 1
        return self.view

    async def close(self) -> None:
        """Have nothing open."""

    def worker(self, url: str, name: str) -> Detail:  # noqa: ARG002  Fleet's signature
        """Tell one worker."""
        return Detail(
            ((0.1, 0), (0.5, 30), (1.0, 10), (float("inf"), 2)), True, (("KeyError", 3),), (("a", 42),), ("q",)
        )

    def task(self, pool: str, name: str) -> Detail:
        """Tell one task."""
        return self.worker(pool, name)


def problem(  # noqa: PLR0917  a row of a table
    alert: str, severity: str, subject: Subject, figure: str, since: float, after: float
) -> Problem:
    """Make a problem; what the runbook says of it is here the same for all."""
    look, command = "Does the process live?", "pgrep -af 'celery.*worker'"
    return Problem(alert, severity, subject, figure, since, after, look, command, "Start it again.", alert)


TROUBLE = View(
    at=1_700_000_000,
    watched=90,
    workers=(
        Worker(
            "http://web1:9101/metrics",
            "trading@web1",
            "trading",
            State.UP,
            kind="prefork",
            celery="5.7.0",
            otel_celery="0.1.0",
            started=1_699_990_000,
            active=3,
            size=8,
            reserved=2,
            scheduled=0,
            received=12.5,
            succeeded=11.8,
            failed=0.4,
            retried=0.3,
            p50=0.04,
            p95=0.31,
            oldest=1.25,
            oldest_task="orders.place",
            exits=4,
            exits_by_reason=(("killed", 1), ("recycled", 3)),
            queues=("trading",),
            recent=(0, 4, 12, 11, 13, 8),
        ),
        Worker("http://web2:9101/metrics", "trading@web2", "trading", State.AWAY, "no answer within 2 s"),
        Worker(
            "http://web1:9105/metrics",
            "general@web1",
            "general",
            State.STUCK,
            "its event loop has stood still for 42 s though a slot is free",
            active=1,
            size=2,
            reserved=9,
            scheduled=1,
            oldest=744,
            oldest_task="reports.yearly",
        ),
    ),
    tasks=(
        Task(
            "orders.place", "trading", 12, 12, 11.6, 0.4, 0.3, 0.033, 0.04, 0.3, 0.05, 1_699_999_999, "PaymentDeclined"
        ),
        Task("reports.yearly", "general", last_success=None, oldest=744),
    ),
    queues=(Queue("trading", 3, 1, 0.4, 1, 12, 0.05), Queue("tradign", 812, None, 744, 0)),
    problems=(
        problem(
            "CeleryWorkerDown",
            "critical",
            Subject("trading@web2", "trading", url="http://web2:9101/metrics"),
            "no answer within 2 s",
            75,
            60,
        ),
        problem(
            "CeleryWorkerStuck",
            "critical",
            Subject("general@web1", "general", url="http://web1:9105/metrics"),
            "its event loop has stood still for 42 s",
            12,
            0,
        ),
        problem(
            "CeleryQueueNotConsumed", "critical", Subject(queue="tradign"), "812 messages wait, and no worker", 20, 480
        ),
        problem(
            "HighTaskFailureRate",
            "warning",
            Subject("trading@web1", task="orders.place"),
            "0.40 failures a second; the limit is 0.1",
            20,
            300,
        ),
    ),
    asked=3,
    answered=2,
    runbook="http://web1:9101/-/runbook",
)
"""A fleet in trouble."""
