"""``otel-celery demo``: five worker pools under load, and a table of their metrics."""

from __future__ import annotations

import asyncio
import os

import click

from otel_celery.cli.failure import extra, misconfigured


@click.command()
@click.option("--broker", help="A broker's URL, redis:// or amqp://.  [default: a Valkey of the demo's own]")
@click.option("--rate", default=35.0, show_default=True, help="Tasks a second, on the average.")
@click.option("--concurrency", default=2, show_default=True, help="Slots of each pool.")
@click.option("--seconds", type=float, help="Stop after so many.  [default: run until Ctrl-C]")
def demo(broker: str | None, rate: float, concurrency: int, seconds: float | None) -> None:
    """Run five real worker pools under a load of tasks, and show what their ports say.

    The ports are 9101 to 9105; OTEL_PYTHON_CELERY_POOL_<NAME>_PORT in the environment changes one.
    Ctrl-C or SIGTERM stops everything.
    """
    with extra("demo", "honcho", "rich", "redis", "textual", "tomli"):
        from otel_celery.demo.show import Show  # noqa: PLC0415  only here is the extra needed
    from otel_celery.demo.broker import NoBrokerError  # noqa: PLC0415  with it
    from otel_celery.pools.section import PlanError  # noqa: PLC0415  with it

    with misconfigured(PlanError, NoBrokerError):
        show = Show(os.environ, broker=broker, rate=rate, concurrency=concurrency)
        raise SystemExit(asyncio.run(show.run(seconds)))
