"""``otel-celery targets``: the pools file as targets for Prometheus's file_sd_configs."""

from __future__ import annotations

import os
import socket
from typing import IO, TYPE_CHECKING

import click

from otel_celery.cli import port_options as asking
from otel_celery.cli.failure import misconfigured
from otel_celery.cli.pools import FILE, NAMES, chosen, exporter

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@FILE
@click.option(
    "--host",
    type=asking.host,
    default=socket.gethostname,
    help="How Prometheus reaches it.  [default: this machine's name]",
)
@click.option(
    "--output",
    type=click.File("w", encoding="utf-8", atomic=True),
    default="-",
    help="Where to write, whole or not at all: Prometheus may read it at any moment.  [default: standard output]",
)
@NAMES
def targets(file: Path | None, host: str, output: IO[str], names: tuple[str, ...]) -> None:
    """Print the pools (all, or those named) as targets for Prometheus's file_sd_configs.

    Each has the label `pool`. Where all are printed, so is the queues' exporter, if the file has a table [queues]: with
    the label `job`, since it is no worker. Ports are found as `otel-celery pools up` finds them; TLS and the address
    that the ports listen on are read from the environment, which has to be the workers'.

    Exit status: 0 written, 78 something is misconfigured.
    """
    picked = chosen(file, names)
    from otel_celery.pools import ports  # noqa: PLC0415  with the plan, after the extra was looked for
    from otel_celery.pools.client import is_loopback  # noqa: PLC0415  the same
    from otel_celery.pools.targets import file_sd  # noqa: PLC0415  the same

    with misconfigured():
        port = ports.served(os.environ)
    if is_loopback(port.host) and not is_loopback(host):
        click.echo(
            f"Warning: in this environment the ports listen on {port.host}, where only this machine's Prometheus "
            f"reaches them: set OTEL_EXPORTER_PROMETHEUS_HOST for the workers, or use --host localhost",
            err=True,
        )
    output.write(file_sd(picked, host, port, None if names else exporter(file)))
