"""Run the demo: start its broker, pools, load and table in this order, and stop them in the reverse one."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from otel_celery.demo.app import app
from otel_celery.demo.broker import embedded
from otel_celery.demo.ending import STOPPING, Ending
from otel_celery.demo.load import Load
from otel_celery.demo.screen import Screen
from otel_celery.masking import masked_url, plain
from otel_celery.pools import command, plan, ports
from otel_celery.pools.runner import Runner
from otel_celery.pools.section import PlanError
from otel_celery.settings import brokers
from otel_celery.top.terminal import is_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_celery.pools.plan import Pool

BROKERS = (*brokers.ALL, "CELERY_RESULT_BACKEND")
"""Variables that Celery prefers to what an app says: where the user's shell has them, the load would go there."""

FOREIGN = ("PROMETHEUS_PORT", "PROMETHEUS_ENABLED", "OTEL_SDK_DISABLED", *BROKERS)
"""Variables of the user's shell that the demo ignores: they would switch its metrics off, or stop or divert it."""


class Show:
    """Everything that the demo runs."""

    def __init__(self, environ: Mapping[str, str], *, broker: str | None, rate: float, concurrency: int) -> None:
        """Plan the example's pools with ``concurrency`` slots each, on the broker at this URL or on one of our own.

        Raises PlanError on a port that is taken, SettingsError on a variable that is not allowed.
        """
        self._environ = {name: value for name, value in environ.items() if name not in FOREIGN}
        example = (replace(pool, concurrency=concurrency) for pool in plan.read(plan.EXAMPLE))
        self._pools = ports.assign(example, self._environ)
        self._port = ports.served(self._environ)
        for pool in self._pools:
            _refuse_taken(pool)
        self._broker = broker
        self._load = Load(rate)
        self._went_well = False
        """Whether it ended as asked, no worker died and the broker took every message: then nobody needs the log."""
        self._ending: Ending | None = None
        self._console = Console(soft_wrap=True)

    async def run(self, seconds: float | None) -> int:
        """Run until a signal comes, or for ``seconds``; return the exit status."""
        directory = Path(tempfile.mkdtemp(prefix="otel-celery-demo-"))
        log = directory / "workers.log"
        try:
            async with AsyncExitStack() as stack:
                url = self._broker
                if url is None:
                    url = await stack.enter_async_context(embedded(directory))
                _send_to(url)
                self._announce(url, log)
                status = await self._perform(url, log, seconds)
        finally:
            self._tidy(directory)
        if self._ending is not None:
            self._console.print(f"{self._ending.said()}{_stays(log)}", highlight=False)
        return status

    async def _perform(self, url: str, log: Path, seconds: float | None) -> int:
        environ = {**self._environ, brokers.BOTH: url}
        with log.open("w", encoding="utf-8") as output:
            runner = Runner([command.worker(pool, environ) for pool in self._pools], output)
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, runner.stop)
            screen = Screen(self._console, self._pools, self._port, self._load, following(url))
            over = asyncio.Event()
            ending = self._ending = Ending(runner)
            status, *_ = await asyncio.gather(
                over_when_done(runner, over),
                self._load.run(runner.stopping),
                screen.run(runner.stopping, over, runner.stop),
                announce_stop(self._console, runner.stopping),
                ending.hasten(over),
            )
        status = ending.status(status) or int(screen.has_failed)
        self._went_well = not status and not runner.has_lost and not self._load.lost
        return status

    def _tidy(self, directory: Path) -> None:
        """Remove the demo's directory, unless somebody has to read what is in it."""
        if self._went_well or not any(directory.iterdir()):
            shutil.rmtree(directory, ignore_errors=True)

    def _announce(self, url: str, log: Path) -> None:
        self._console.print(f"Broker: {plain(masked_url(url))}")
        scheme = "http" if self._port.tls is None else "https"
        for pool in self._pools:
            self._console.print(f"{pool.name:<12}{scheme}://localhost:{pool.port}/metrics")
        self._console.print(f"The workers' log, which stays if something goes wrong: {log}\nCtrl-C stops everything.")
        self._console.print(f"{following(url)}\n")


def _send_to(url: str) -> None:
    """Have this process's app publish to a broker, and to none that the user's shell names."""
    for name in BROKERS:
        os.environ.pop(name, None)
    app.conf.broker_url = url


def following(url: str) -> str:
    """Tell what to do next; the live view says it again, since it covers what was printed before."""
    shown = plain(masked_url(url))
    again = f"BROKER={shown}" if shown == url else "with the same BROKER"  # a masked one could not be used
    return f"Next, in another terminal of a clone: make monitoring {again}"


async def announce_stop(console: Console, stopping: asyncio.Event) -> None:
    """Say what the first request to stop does, and what the next one would; the runner says it in the log alone."""
    await stopping.wait()
    if not is_terminal():  # there the live view says it
        console.print(STOPPING, highlight=False)


async def over_when_done(runner: Runner, over: asyncio.Event) -> int:
    """Run the pools, and say when they are over, however they end; all others then stop as well."""
    try:
        return await runner.run()
    finally:
        over.set()
        runner.stopping.set()


def _stays(log: Path) -> str:
    return f" The workers' log stays in {log}" if log.exists() else ""


def _refuse_taken(pool: Pool) -> None:
    """Raise PlanError if a pool's port is taken, before any worker is started."""
    try:
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(("127.0.0.1", pool.port))
    except OSError as error:
        raise PlanError(
            f"the port {pool.port} of the pool {pool.name!r} cannot be opened ({error.strerror}): "
            f"set {ports.variable(pool)}"
        ) from None
