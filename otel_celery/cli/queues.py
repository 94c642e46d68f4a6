"""``otel-celery queues``: the queue exporter, a small process that goes on when all workers are scaled to zero."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

import click

from otel_celery.cli.failure import Misconfigured, misconfigured
from otel_celery.cli.loading import load
from otel_celery.masking import RefusedError, keep_user
from otel_celery.settings import brokers, variables
from otel_celery.settings import settings as environment

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT = 9106
"""The exporter's port, unless PROMETHEUS_PORT, OTEL_EXPORTER_PROMETHEUS_PORT or --port names another."""


@click.group()
def queues() -> None:
    """Show what waits in the queues of a broker."""


@queues.command()
@click.option("-A", "--app", help="The Celery app, as `celery -A` takes it: its broker and its queues.")
@click.option("-b", "--broker", help=f"The broker's URL, instead of an app.  {brokers.DEFAULT}")
@click.option("-q", "--queue", "names", multiple=True, help="Queues, comma-separated, instead of all of the app.")
@click.option("--option", "options", multiple=True, metavar="KEY=JSON", help="A transport option of --broker's.")
@click.option("--port", type=click.IntRange(1, 65535), help=f"The port.  [default: PROMETHEUS_PORT, else {PORT}]")
def serve(
    app: str | None, broker: str | None, names: tuple[str, ...], options: tuple[str, ...], port: int | None
) -> None:
    """Serve the lengths, and what else the broker can tell, on a port; settings are those of a worker's port.

    Exit status: 0 ended by SIGTERM or SIGINT, 78 something is misconfigured.
    """
    if app is None:
        broker = broker or brokers.consumed(os.environ)
    names = tuple(name for each in names for name in map(str.strip, each.split(",")) if name)
    if (app is None) == (broker is None):
        raise click.UsageError("give either --app or --broker")
    if broker is not None and not names:
        raise click.UsageError("--broker needs --queue: only an app knows the names of its queues")
    with misconfigured():
        settings = environment.read(_environ(os.environ, port))
    if not settings.enabled:
        raise Misconfigured("nothing is to be exported: PROMETHEUS_ENABLED, OTEL_METRICS_EXPORTER or OTEL_SDK_DISABLED")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    from otel_celery import exporter  # noqa: PLC0415  it imports the SDK, and kombu
    from otel_celery.queues.names import named, of_app  # noqa: PLC0415  the same

    with misconfigured(RefusedError):
        if broker is not None:
            exporter.serve(settings, connecting(broker, options), named(names))
        else:
            loaded = load(str(app))
            exporter.serve(settings, loaded.connection_for_read, named(names, loaded) if names else of_app(loaded))


def _environ(environ: Mapping[str, str], port: int | None) -> Mapping[str, str]:
    """Enable the port unless PROMETHEUS_ENABLED says otherwise, and number it; probes need it beside a push too."""
    found = dict(environ)
    if not found.get(variables.ENABLED.name):
        found[variables.ENABLED.name] = "true"
    if port is not None or not any(found.get(each.name) for each in (variables.PORT, variables.OTEL_PORT)):
        found[variables.PORT.name] = str(port or PORT)
    return found


def connecting(broker: str, options: tuple[str, ...] = ()) -> Any:
    """Make what makes connections to a broker's URL, with these transport options."""
    from kombu import Connection  # noqa: PLC0415  once the environment is sound

    keep_user(broker)
    own = _options(options)

    def make(*, transport_options: Mapping[str, Any] | None = None, **given: Any) -> Any:
        return Connection(broker, transport_options={**own, **(transport_options or {})}, **given)

    return make


def _options(options: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for each in options:
        key, _, value = each.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
