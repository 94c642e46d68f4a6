"""``otel-celery top``: a live view of workers, their tasks and queues, and of what is wrong."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from otel_celery.cli import fleet_options
from otel_celery.cli.failure import extra
from otel_celery.top.terminal import is_dumb, is_terminal, keep_width

if TYPE_CHECKING:
    from otel_celery.watch.fleet import Fleet
    from otel_celery.watch.model import View

LIVE = 1.0
ONCE = 2.0
"""Seconds between two looks: of the live view, and of the two that ``--once`` makes."""
WIDE = 200
"""Letters of a line where there is no terminal: what reads it has no edge."""


@click.command()
@fleet_options.options
@click.option("--interval", type=click.FloatRange(0.2, 3600), help="Seconds between two looks.  [default: 1; once: 2]")
@click.option("--once", is_flag=True, help="Look twice, print a table, and end.")
@click.option("--json", "is_json", is_flag=True, help="With --once: print JSON, as docs/top.md describes it.")
def top(interval: float | None, once: bool, is_json: bool, **asked: Any) -> None:
    """Watch workers, their tasks and queues, and what is wrong, by what their own ports say.

    ENDPOINTS are URLs, or host:port; without any, and without --prometheus and --targets, they are those of the pools
    file. TLS files and credentials are read from the environment, the same that the workers have, unless options or a
    URL say otherwise. What is wrong is judged as Prometheus does it with the committed alerts.

    Exit status: 0 nothing is wrong, 1 something is (of the live view: as it was left), 78 something is misconfigured.
    """
    if is_json and not once:
        raise click.UsageError("--json needs --once")
    if not once and not is_terminal():
        kind = f" that can move its cursor, and TERM is {os.environ['TERM']!r}" if is_dumb() else ""
        raise click.UsageError(
            f"the live view needs a terminal{kind}: --once prints a table, --once --json the same for scripts"
        )
    fleet = fleet_options.Asked(**asked).fleet()
    is_well = _once(fleet, interval or ONCE, is_json=is_json) if once else _live(fleet, interval or LIVE)
    raise SystemExit(not is_well)


def _live(fleet: Fleet, interval: float) -> bool:
    """Show the live view, and tell whether all was well as it was left; a view that failed was not."""
    with extra("top", "rich", "textual"):
        from otel_celery.top.app import Top  # noqa: PLC0415  only here is the extra needed
    app = Top(fleet, interval)
    app.run()
    return not app.return_code and (app.view is None or app.view.is_well)


def _once(fleet: Fleet, interval: float, *, is_json: bool) -> bool:
    """Print a view, and tell whether all is well."""
    with extra("top", "rich"):
        from rich.console import Console  # noqa: PLC0415  only here is the extra needed

        from otel_celery.top import once, report  # noqa: PLC0415  the same
    view = asyncio.run(_looked_twice(fleet, interval))
    if is_json:
        click.echo(report.text(view))
    else:
        keep_width(sys.stdout)
        width = None if sys.stdout.isatty() else WIDE
        once.show(Console(width=width, soft_wrap=True, highlight=False), view)
    return view.is_well


async def _looked_twice(fleet: Fleet, interval: float) -> View:
    """Look, wait, and look again: rates need two."""
    await fleet.look()
    await asyncio.sleep(interval)
    view = await fleet.look()
    await fleet.close()
    return view
