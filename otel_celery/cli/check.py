"""``otel-celery check``: what a worker with this environment will do, in plain words."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import click

from otel_celery import settings
from otel_celery.cli.failure import misconfigured
from otel_celery.pushing import CUMULATIVE, GRPC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_celery.pushing import Otlp, Push
    from otel_celery.tracing import Traces

NOTHING = 1
TRUE = "true"


@click.command()
@click.option("-A", "--app", help="The Celery app, as `celery -A` takes it.")
def check(app: str | None) -> None:
    """Read the environment, and the app, and say what will happen.

    Exit status: 0 all is well, 1 nothing is enabled, 78 something is misconfigured.
    """
    with misconfigured():
        found = settings.read(os.environ)
    problems = [*_port_problems(found.port), *_exporter_problems(found), *_app_problems(app)]
    for sentence in (*_plans(found, os.environ), *found.warnings):
        click.echo(sentence)
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if problems:
        raise SystemExit(settings.EX_CONFIG)
    raise SystemExit(0 if found.enabled or found.traces is not None else NOTHING)


def _plans(found: settings.Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Say what is enabled."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == TRUE:
        yield "OTEL_SDK_DISABLED=true: nothing is installed, no port is opened."
        return
    if found.port is not None:
        yield from _port_plans(found.port)
    if found.push is not None:
        yield from _push_plans(found.push)
    if found.traces is not None:
        yield from _trace_plans(found.traces)
    if not found.enabled:
        yield "No metrics are enabled: set PROMETHEUS_ENABLED=true."
    if found.strict:
        yield "A mistake in the settings, or a taken port, ends the worker (OTEL_PYTHON_CELERY_STRICT)."


def _port_plans(port: settings.Port) -> Iterator[str]:
    scheme = "http" if port.tls is None else "https"
    yield f"Metrics are served on {scheme}://{port.host}:{port.number}/metrics, in the worker's main process."
    if port.tls is not None:
        yield f"TLS: the certificate is {port.tls.certificate}, the key {port.tls.key}."
        if port.tls.client_ca is not None:
            yield f"Clients need a certificate signed by {port.tls.client_ca}."
    if port.credentials is not None:
        yield f"Clients need the credentials in {port.credentials}."


def _push_plans(push: Push) -> Iterator[str]:
    """Say who gets the metrics, in what shape, and how long a worker's end may wait for it."""
    for exporter in push.exporters:
        yield f"Metrics are pushed to {exporter.place} every {push.interval:g} s, and once more as the worker ends."
        if exporter.otlp is not None:
            yield from _otlp_plans(exporter.otlp)
    if any(exporter.otlp for exporter in push.exporters):
        if push.temporality != CUMULATIVE:
            yield f"OTLP's counters and histograms are {push.temporality}, its histograms recorded by the SDK."
        if push.is_exponential:
            yield "OTLP's histograms have exponential buckets; a port keeps its own."
    if push.has_exemplars:
        yield "Histograms carry exemplars with the trace of the task's message."
    yield (
        "Where the app, or opentelemetry-instrument, has set an SDK MeterProvider that pushes by itself, "
        "that one pushes instead."
    )


def _otlp_plans(otlp: Otlp) -> Iterator[str]:
    details = [f"at most {otlp.timeout:g} s an export", f"compression {otlp.compression}"]
    if otlp.certificate is not None:
        details.append(f"trusting {otlp.certificate}")
    if otlp.client_certificate is not None:
        details.append(f"with the client certificate {otlp.client_certificate}")
    yield f"  {', '.join(details)}."
    if otlp.protocol == GRPC:
        yield "  gRPC does not like a process that forks: for the prefork pool http/protobuf is the safer choice."


def _trace_plans(found: Traces) -> Iterator[str]:
    """Say where spans go, and how long the end of a process may wait for it."""
    places = " and ".join(exporter.place for exporter in found.exporters)
    yield (
        f"Spans of publishing and running tasks are sent to {places}, unless the app, or opentelemetry-instrument, has "
        f"instrumented Celery itself; the end of a process waits at most {found.flush_seconds:g} s for the last ones."
    )
    if found.has_grpc:
        yield "  gRPC does not like a process that forks: for the prefork pool http/protobuf is the safer choice."
    if found.log_ids:
        yield "The task log carries trace_id and span_id (OTEL_PYTHON_LOG_CORRELATION)."


def _port_problems(port: settings.Port | None) -> Iterator[str]:
    """Try the port: it may be taken, by a worker that runs now as well."""
    if port is None:
        return
    if port.tls is not None:
        yield from _tls_problems(port.tls)
    try:
        found = socket.getaddrinfo(port.host, port.number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for address in found:  # localhost is two: the worker opens both, where there are both
            _open(*address, alone=len(found) == 1)
    except OSError as error:
        yield f"the port {port.number} on {port.host} cannot be opened now: {error.strerror}"


def _open(family: int, kind: int, protocol: int, _: str, address: Any, *, alone: bool) -> None:
    with socket.socket(family, kind, protocol) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            attempt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            attempt.bind(address)
        except OSError as error:
            if alone or error.errno != errno.EADDRNOTAVAIL:
                raise


def _tls_problems(tls: settings.TLS) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except OSError as error:
        yield f"{tls.certificate} and {tls.key} are no usable pair: {error}"
    try:
        context.load_verify_locations(cafile=tls.client_ca or tls.certificate)
    except OSError as error:
        yield f"{tls.client_ca or tls.certificate} holds no usable certificate: {error}"


def _exporter_problems(found: settings.Settings) -> Iterator[str]:
    """Name the exporters that nothing installed offers."""
    for asked_for in (found.push, found.traces):
        for exporter in asked_for.exporters if asked_for is not None else ():
            if not entry_points(group=exporter.group, name=exporter.entry_point):
                yield exporter.missing


def _app_problems(app: str | None) -> Iterator[str]:
    """Load the app as `celery -A` does, from the working directory."""
    if app is None:
        return
    from celery.app.utils import find_app  # noqa: PLC0415  imports Celery, and an app is not always asked for

    sys.path.insert(0, str(os.curdir))
    try:
        loaded = find_app(app)
        loaded.loader.import_default_modules()
    except Exception as error:  # noqa: BLE001  whatever the user's modules raise is the answer
        yield f"the app {app!r} cannot be loaded: {type(error).__name__}: {error}"
    else:
        tasks = [name for name in loaded.tasks if not name.startswith("celery.")]
        click.echo(f"The app {app!r} is {loaded.main or 'unnamed'}, with {len(tasks)} tasks.")
