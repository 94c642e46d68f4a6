"""``otel-celery check``: say in plain words how a worker with this environment will behave."""

from __future__ import annotations

import os
import ssl
import sys
from typing import TYPE_CHECKING

import click

from otel_celery.cli.failure import misconfigured
from otel_celery.export import plugins
from otel_celery.masking import plain, printable, reason
from otel_celery.serve.access import AccessError, tls_context
from otel_celery.serve.listeners import addresses, listen
from otel_celery.settings import settings, variables
from otel_celery.settings.otlp import GRPC
from otel_celery.settings.push import CUMULATIVE
from otel_celery.settings.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from otel_celery.settings.otlp import Exporter, Otlp
    from otel_celery.settings.push import Push
    from otel_celery.settings.traces import Traces

NOTHING = 1
HOOK = "otel_celery.hook"


@click.command()
@click.option("-A", "--app", help="The Celery app, as `celery -A` takes it.")
def check(app: str | None) -> None:
    """Read the environment, and the app, and say what will happen.

    Exit status: 0 all is well, 1 nothing is enabled, 78 something is misconfigured.
    """
    with misconfigured():
        found = settings.read(os.environ)
    ports = {found.port, found.of_beat(is_embedded=True).port}
    problems = [
        *(problem for port in ports for problem in _port_problems(port)),
        *_exporter_problems(found),
        *_app_problems(app),
    ]
    for sentence in (*_plans(found, os.environ), *found.warnings):
        click.echo(printable(sentence))
    for problem in problems:
        click.echo(f"Error: {printable(problem)}", err=True)
    if problems:
        raise SystemExit(settings.EX_CONFIG)
    raise SystemExit(0 if found.enabled or found.traces is not None else NOTHING)


def _plans(found: settings.Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Describe the enabled exporters and the port."""
    if variables.SDK_DISABLED.read(Reader(environ)):
        yield "OTEL_SDK_DISABLED=true: nothing is installed, no port is opened."
        return
    if found.port is not None:
        yield from _port_plans(found.port)
        if found.beat_port is not None:
            yield f"Those of beat are served on port {found.beat_port}, in beat's process ({variables.BEAT_PORT.name})."
    if found.enabled and found.queues.in_worker:
        yield f"The worker shows the lengths of its app's queues, refreshed every {found.queues.interval:g} s."
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
    """Describe the push: its exporters, interval, temporality, buckets and exemplars."""
    exporters = _installed(push.exporters)
    if not exporters:
        return
    for exporter in exporters:
        yield f"Metrics are pushed to {exporter.place} every {push.interval:g} s, and once more as the worker ends."
        if exporter.otlp is not None:
            yield from _otlp_plans(exporter.otlp)
    if any(exporter.otlp for exporter in exporters):
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
    """Describe the spans: their exporters, and the wait for the last ones at the end of a process."""
    exporters = _installed(found.exporters)
    if not exporters:
        return
    places = " and ".join(exporter.place for exporter in exporters)
    yield (
        f"Spans of publishing and running tasks are sent to {places}, unless the app, or opentelemetry-instrument, has "
        f"instrumented Celery itself; the end of a process waits at most {found.flush_seconds:g} s for the last ones."
    )
    if any(exporter.is_grpc for exporter in exporters):
        yield "  gRPC does not like a process that forks: for the prefork pool http/protobuf is the safer choice."
    if found.log_ids:
        yield "The task log carries trace_id and span_id (OTEL_PYTHON_LOG_CORRELATION)."


def _port_problems(port: settings.Port | None) -> Iterator[str]:
    """Load the TLS files and open the port as a worker does; a worker that runs now has its port taken."""
    if port is None:
        return
    try:
        if port.tls is not None:
            tls_context(port.tls)
        for listener in listen(addresses(port.host), port.number):
            listener.close()
    except AccessError as error:
        yield str(error)
    except OSError as error:
        yield f"the port {port.number} on {port.host} cannot be opened now: {error.strerror}"


def _otlp_problems(exporter: Exporter, otlp: Otlp) -> Iterator[str]:
    """Load the certificates; with bad ones each export would fail."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if otlp.certificate is not None:
            context.load_verify_locations(cafile=otlp.certificate)
        if otlp.client_certificate is not None:
            context.load_cert_chain(otlp.client_certificate, otlp.client_key, password="")
    except (OSError, ValueError) as error:
        yield f"the certificates for {exporter.place} cannot be used: {reason(error)}"


def _exporter_problems(found: settings.Settings) -> Iterator[str]:
    """Find exporters that no installed package has, or that have no usable certificates."""
    for asked_for in (found.push, found.traces):
        for exporter in asked_for.exporters if asked_for is not None else ():
            if not _installed([exporter]):
                yield exporter.missing
            if exporter.otlp is not None:
                yield from _otlp_problems(exporter, exporter.otlp)


def _installed(exporters: Iterable[Exporter]) -> list[Exporter]:
    """List the exporters that an installed package has."""
    return [exporter for exporter in exporters if plugins.find(exporter.group, exporter.entry_point) is not None]


def _app_problems(app: str | None) -> Iterator[str]:
    """Load the app as `celery -A` does, from the working directory."""
    if app is None:
        return
    from celery.app.utils import find_app  # noqa: PLC0415  imports Celery, and only --app needs it

    sys.path.insert(0, str(os.curdir))
    try:
        loaded = find_app(app)
        loaded.loader.import_default_modules()
    except Exception as error:  # noqa: BLE001  any exception of the user's modules is reported
        yield f"the app {app!r} cannot be loaded: {type(error).__name__}: {plain(str(error))}"
    else:
        tasks = [name for name in loaded.tasks if not name.startswith("celery.")]
        click.echo(f"The app {app!r} is {loaded.main or 'unnamed'}, with {len(tasks)} tasks.")
        click.echo(_loading(loaded))


def _loading(app: Any) -> str:
    """Say whether the app's modules, which are imported, load otel-celery in its workers."""
    from otel_celery.worker import is_instrumented  # noqa: PLC0415  imports Celery, and only --app needs it

    if is_instrumented(app):
        return "The app calls instrument()."
    if HOOK in sys.modules:
        return f"The app imports {HOOK}."
    return f"The app does not load otel-celery: start its worker with `-I {HOOK}`, or under opentelemetry-instrument."
