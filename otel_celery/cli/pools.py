"""``otel-celery pools``: start the worker pools of one file, or show their state."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from otel_celery.cli import port_options as asking
from otel_celery.cli.failure import Misconfigured, extra, misconfigured
from otel_celery.settings import brokers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from otel_celery.pools.plan import Pool

FILE = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The pools file.  [default: ./pools.toml, or else the example with the five documented pools]",
)
NAMES = click.argument("names", nargs=-1)


@click.group()
def pools() -> None:
    """Start the worker pools of a pools file, or look at them."""


@pools.command()
@FILE
@NAMES
def up(file: Path | None, names: tuple[str, ...]) -> None:
    """Start the pools (all, or those named), and keep them running.

    Ctrl-C or SIGTERM is a warm shutdown: the running tasks finish. A second one is a cold shutdown, which cuts them
    off; a third one kills. A pool that dies is started again, after a wait that doubles from 1 s to 30 s; one whose
    app cannot be loaded, or that ends with status 78, is given up.

    A pool's port is OTEL_PYTHON_CELERY_POOL_<NAME>_PORT from the environment or else the file's; PROMETHEUS_PORT is the
    port when one pool is started. PROMETHEUS_ENABLED=false starts the workers without metrics.

    CELERY_BROKER_URL names the broker of apps that name none, or CELERY_BROKER_READ_URL and CELERY_BROKER_WRITE_URL do.
    Without any of them, and without a pools file, the five documented pools have a broker of their own, which ends with
    them.

    Exit status: 0 a warm shutdown, every worker stopped well, 1 a cold one, or a worker ended badly, 78 something is
    misconfigured.
    """
    picked = chosen(file, names)
    with extra("pools", "honcho"):
        from otel_celery.pools.runner import Runner  # noqa: PLC0415  only here is the extra needed
    from otel_celery.pools import command, nowhere, plan  # noqa: PLC0415  the same start as its runner

    async def run(environ: Mapping[str, str]) -> int:
        commands = [command.worker(pool, environ) for pool in picked]
        return await Runner(commands, sys.stdout, colour="NO_COLOR" not in environ).run()

    if plan.find(file, Path.cwd()) == plan.EXAMPLE and not brokers.names_one(os.environ):
        raise SystemExit(asyncio.run(_with_a_broker(run)))
    if (missing := nowhere.sentence(picked, os.environ)) is not None:
        raise Misconfigured(missing)
    raise SystemExit(asyncio.run(run(os.environ)))


async def _with_a_broker(run: Callable[[Mapping[str, str]], Awaitable[int]]) -> int:
    """Run the example's pools on a broker of their own, which ends with them."""
    with extra("demo", "redis"):
        import redis  # noqa: F401, PLC0415  the workers need it
    from otel_celery.demo.broker import NoBrokerError, embedded  # noqa: PLC0415  only here

    with tempfile.TemporaryDirectory(prefix="otel-celery-broker-") as directory, misconfigured(NoBrokerError):
        async with embedded(Path(directory)) as url:
            click.echo(
                f"{brokers.BOTH} is not set, and there is no pools.toml: the pools use a broker of their own, {url}"
            )
            return await run({**os.environ, brokers.BOTH: url})


@pools.command()
@FILE
@NAMES
@asking.options
def status(
    file: Path | None,
    names: tuple[str, ...],
    timeout: float,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
) -> None:
    """Show how the pools are doing, by what their own ports say.

    p95 is the 95th percentile of the tasks' duration since the worker started.

    Exit status: 0 every pool is up, 1 one is down, 78 something is misconfigured.
    """
    picked = chosen(file, names)
    with extra("pools", "rich"):
        from rich.console import Console  # noqa: PLC0415  only here is the extra needed

        from otel_celery.pools.table import table  # noqa: PLC0415  the same
    from otel_celery.pools import ports  # noqa: PLC0415  with the table
    from otel_celery.pools.status import ask  # noqa: PLC0415  imports prometheus_client

    with misconfigured():
        port = ports.served(os.environ)
    statuses = ask(picked, port, timeout, asking.identity(ca_file, cert_file, key_file))
    Console().print(table(statuses))
    raise SystemExit(not all(status.up for status in statuses))


@pools.command()
def example() -> None:
    """Print the pools file that counts where there is no other: a beginning for your own."""
    from otel_celery.pools.plan import EXAMPLE  # noqa: PLC0415  imports TOML, which the other commands do not need

    click.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)


def exporter(file: Path | None) -> int | None:
    """Read the port of the queues' exporter from the file."""
    from otel_celery.pools import plan  # noqa: PLC0415  after `chosen` has looked for the extra
    from otel_celery.pools.section import PlanError  # noqa: PLC0415  with it

    with misconfigured(PlanError):
        return plan.read_exporter(plan.find(file, Path.cwd()))


def chosen(file: Path | None, names: Sequence[str]) -> tuple[Pool, ...]:
    """Read the file, pick the pools by name, and give them their ports."""
    with extra("pools", "tomli"):
        from otel_celery.pools import plan, ports  # noqa: PLC0415  tomli is of the extra on Python 3.10
    from otel_celery.pools.section import PlanError  # noqa: PLC0415  with them

    with misconfigured(PlanError):
        pools = plan.read(plan.find(file, Path.cwd()))
        for sentence in ports.strays(pools, os.environ):
            click.echo(f"Warning: {sentence}", err=True)
        return ports.assign(plan.select(pools, names), os.environ)
