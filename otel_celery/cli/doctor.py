"""``otel-celery doctor``: look at what runs, and say what is wrong and what to do."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from otel_celery.cli import fleet_options
from otel_celery.cli.failure import misconfigured
from otel_celery.masking import printable
from otel_celery.settings import brokers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_celery.cli.fleet_options import Asked
    from otel_celery.watch.finding import Broker, Finding
    from otel_celery.watch.fleet import Fleet
    from otel_celery.watch.model import View

VERSION = 1
"""Of the JSON that docs/doctor.md describes."""

AWAY = "See that it runs, and that this is its URL."

WARNINGS, CRITICAL = 1, 3
"""Exit statuses; 2 is wrong usage."""


@click.command()
@fleet_options.options
@click.option("-A", "--app", help="The Celery app, as `celery -A` takes it: its broker, and its tasks' queues.")
@click.option("-b", "--broker", help=f"The broker's URL, instead of an app.  {brokers.DEFAULT}")
@click.option("-q", "--queue", "names", multiple=True, help="Further queues to ask the broker for, comma-separated.")
@click.option("--interval", default=3.0, type=click.FloatRange(0.2, 3600), show_default=True, help="Between two looks.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, as docs/doctor.md describes it.")
def doctor(
    app: str | None, broker: str | None, names: tuple[str, ...], interval: float, is_json: bool, **asked: Any
) -> None:
    """Ask each worker and the broker, and say in sentences what is wrong and what to do.

    ENDPOINTS are URLs, or host:port; without any they are those of the pools file. With --prometheus it also says which
    of them that does not scrape. The broker is asked for the queues that workers consume or publish to, those of --app,
    and those of --queue. What an alert judges is judged by its limits.

    Exit status: 0 nothing is wrong, 1 warnings, 3 something critical, 2 wrong usage, 78 something is misconfigured.
    """
    from otel_celery.watch import findings  # noqa: PLC0415  few commands need it

    if app is not None and broker is not None:
        raise click.UsageError("give --app or --broker, not both")
    options = fleet_options.Asked(**asked)
    make, queues = _connecting(app, broker or brokers.consumed(os.environ))
    queues |= {name for each in names for name in map(str.strip, each.split(",")) if name}
    fleet = _of(options).fleet()
    views, unscraped = asyncio.run(_look(fleet, options, interval))
    watched = list(fleet.watched.values())
    told = None if make is None else _told(make, queues | findings.queues_to_ask(watched, views))
    found = findings.all_of(watched, views, told, unscraped)
    click.echo(_json(found, views[-1], told) if is_json else _text(found, views[-1], told))
    raise SystemExit(CRITICAL if any(each.is_critical for each in found) else WARNINGS if found else 0)


def _of(options: Asked) -> Asked:
    """Have the endpoints from elsewhere than Prometheus, if there is anything else: it is compared with them."""
    from otel_celery.pools.plan import LOCAL  # noqa: PLC0415  as above

    has_others = options.endpoints or options.targets or options.file is not None or LOCAL.is_file()
    return replace(options, prometheus=()) if has_others else options


async def _look(fleet: Fleet, options: Asked, interval: float) -> tuple[list[View], list[Finding]]:
    """Look twice, and compare the endpoints with what each Prometheus scrapes."""
    from otel_celery.watch.endpoints import EndpointError  # noqa: PLC0415  as above
    from otel_celery.watch.finding import PROMETHEUS_AWAY, Finding  # noqa: PLC0415  the same
    from otel_celery.watch.model import Subject  # noqa: PLC0415  the same
    from otel_celery.watch.scraped import unscraped  # noqa: PLC0415  the same

    views = [await fleet.look()]
    await asyncio.sleep(interval)
    views.append(await fleet.look())
    await fleet.close()
    endpoints = [each.endpoint for each in fleet.watched.values() if each.is_ours]
    found: list[Finding] = []
    for server in options.servers():
        try:
            found += await unscraped(server, endpoints)
        except EndpointError as error:
            found.append(Finding(PROMETHEUS_AWAY, "critical", Subject(detail=server.place), str(error), AWAY))
    return views, found


def _connecting(app: str | None, broker: str | None) -> tuple[Any, set[str]]:
    """Give what makes connections to the broker, None without one; and the queues of the app."""
    from otel_celery.cli.loading import LoadError, load  # noqa: PLC0415  as above

    if app is not None:
        with misconfigured(LoadError):
            loaded = load(app)
        from otel_celery.cli.broker import queues_of  # noqa: PLC0415  imports kombu

        return loaded.connection_for_read, queues_of(loaded)
    if broker is not None:
        from otel_celery.cli.queues import connecting  # noqa: PLC0415  as above

        return connecting(broker), set()
    return None, set()


def _told(make: Any, names: set[str]) -> Broker:
    from otel_celery.cli.broker import ask  # noqa: PLC0415  imports kombu

    return ask(make, names, others=True)


def _text(found: Sequence[Finding], view: View, told: Broker | None) -> str:
    """Write each finding in two lines, and what was looked at."""
    lines = [
        f"{each.severity.upper()}: {_sentence(each.sentence)}\n  {_sentence(each.do)}"
        + (f" See {view.more(each.section)}." if each.section else "")
        for each in found
    ]
    asked = f"{view.answered} of {view.asked} endpoint{'s' * (view.asked != 1)} answered"
    broker = "the broker was not asked" if told is None else "the broker did not" if told.why else "and the broker"
    result = f"{len(found)} thing{'s' * (len(found) != 1)} to do" if found else "Nothing is wrong"
    return printable_lines([*lines, f"{result}: {asked}, {broker}."])


def _sentence(text: str) -> str:
    return text if text.endswith((".", ":")) else f"{text}."


def printable_lines(lines: Sequence[str]) -> str:
    """Join lines of ours, in which nothing of a page can forge another."""
    return "\n".join(printable(part) for line in lines for part in line.split("\n"))


def _json(found: Sequence[Finding], view: View, told: Broker | None) -> str:
    document = {
        "version": VERSION,
        "at_timestamp_seconds": view.at,
        "endpoints": {"asked": view.asked, "answered": view.answered},
        "broker": None if told is None else {"url": told.place, "why": told.why, "lengths": dict(told.lengths)},
        "findings": [_entry(each, view) for each in found],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def _entry(finding: Finding, view: View) -> dict[str, Any]:
    """Tell a finding, and where one reads more."""
    entry = asdict(finding)
    section = entry.pop("section")
    return {**entry, "link": view.more(section) if section else ""}
