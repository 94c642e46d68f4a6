"""``otel-celery probe``: a worker's health as an exit status, for health checks that run a command."""

from __future__ import annotations

import http.client
import os
from typing import TYPE_CHECKING

import click

from otel_celery.cli import port_options as asking
from otel_celery.cli.failure import misconfigured
from otel_celery.masking import plain, reason
from otel_celery.pools import client, ports
from otel_celery.settings.credentials import UnusableError

if TYPE_CHECKING:
    from pathlib import Path

OK = 200


@click.command()
@click.argument("question", type=click.Choice(["ready", "healthy"]))
@click.option(
    "--host", type=asking.host, help="Where the port is.  [default: OTEL_EXPORTER_PROMETHEUS_HOST, or localhost]"
)
@click.option("--port", type=click.IntRange(1, 65535), help="Its number.  [default: PROMETHEUS_PORT and the like]")
@asking.options
def probe(
    question: str,
    host: str | None,
    port: int | None,
    timeout: float,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
) -> None:
    """Ask a worker whether it is ready, or healthy, and print its sentence.

    Host, port and TLS are read from the environment, the same that the worker has, unless options say otherwise.
    A port with TLS is trusted by its own certificate file; its name is not checked on the loopback.

    Exit status: 0 yes, 1 no or no answer, 78 the environment is misconfigured.
    """
    with misconfigured():
        where = ports.served(os.environ)
    where = where._replace(host=host or where.host, number=port or where.number)
    try:
        status, body = client.get(where, f"/-/{question}", timeout, asking.identity(ca_file, cert_file, key_file))
    except (OSError, http.client.HTTPException, UnusableError) as error:
        raise click.ClickException(f"{where.host}:{where.number} does not answer: {reason(error)}") from None
    click.echo(plain(body), err=status != OK)
    raise SystemExit(status != OK)
