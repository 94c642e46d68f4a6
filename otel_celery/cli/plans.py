"""Say in plain words what workers, beat and publishers will do with an environment, one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.cli.loading import HOOK, Ways
from otel_celery.settings import settings, variables
from otel_celery.settings.otlp import GRPC
from otel_celery.settings.push import CUMULATIVE
from otel_celery.settings.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_celery.settings.otlp import Otlp
    from otel_celery.settings.push import Push
    from otel_celery.settings.traces import Traces


def plans(found: settings.Settings, environ: Mapping[str, str], ways: Ways) -> Iterator[str]:
    """Describe what is enabled, where otel-celery is loaded in these ways; every exporter has to be installed."""
    if found.port is not None:
        yield from _port_plans(found.port)
    if found.enabled and found.queues.in_worker:
        yield f"The worker shows the lengths of its app's queues, refreshed every {found.queues.interval:g} s."
    if found.push is not None:
        yield from _push_plans(found.push)
    if found.traces is not None:
        yield from _trace_plans(found.traces)
    elif found.enabled:
        yield f"No spans are made: {variables.TRACES_EXPORTER.name} names no exporter."
    if found.enabled:
        yield from _beat_plans(found, ways)
    yield from _publisher_plans(found, environ, ways)
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


def _beat_plans(found: settings.Settings, ways: Ways) -> Iterator[str]:
    """Describe beat's metrics, which need a port of their own."""
    if not ways & ~Ways.OPTION:
        yield f"Beat serves and pushes nothing: it has no -I, so name {HOOK} in the app's setting `imports`."
    elif found.port is not None and found.beat_port is not None:
        yield f"Those of beat are served on port {found.beat_port}, in beat's process ({variables.BEAT_PORT.name})."
    elif found.port is not None:
        yield (
            "Beat serves its own on the same port: beside a worker of this environment, and in a worker (-B), it needs "
            f"{variables.BEAT_PORT.name}."
        )
    else:
        yield "Beat pushes its own in the same way."


def _publisher_plans(found: settings.Settings, environ: Mapping[str, str], ways: Ways) -> Iterator[str]:
    """Describe what other processes that publish do: web servers and scripts."""
    if not ways & (Ways.LINE | Ways.LAUNCHER):
        yield (
            "Web servers and scripts that publish do not load otel-celery: they count nothing, and their messages do "
            "not say how long they wait. instrument(app), in the app's module, loads it there."
        )
        return
    if not variables.SENT_HEADER.read(Reader(environ)):
        yield f"Messages carry no time ({variables.SENT_HEADER.name}=false): no worker can tell how long they wait."
    else:
        yield "Messages carry the time at which they are published, also from web servers and scripts."
    if not ways & Ways.LINE:
        yield "What web servers and scripts publish is not counted: that needs instrument(app) in the app's module."
    elif found.push is not None:
        places = " and ".join(exporter.place for exporter in found.push.exporters)
        yield f"What web servers and scripts publish is counted, and pushed to {places}."
    else:
        yield (
            "What web servers and scripts publish is counted where they have a MeterProvider, or "
            "instrument(app, registry=...) names a registry, and else nowhere; they open no port."
        )


def _push_plans(push: Push) -> Iterator[str]:
    """Describe the push: its exporters, interval, temporality, buckets and exemplars."""
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
    """Describe the spans: their exporters, and the wait for the last ones at the end of a process."""
    places = " and ".join(exporter.place for exporter in found.exporters)
    yield (
        f"Spans of publishing and running tasks are sent to {places}, unless the app, or opentelemetry-instrument, has "
        f"instrumented Celery itself; the end of a process waits at most {found.flush_seconds:g} s for the last ones."
    )
    if any(exporter.is_grpc for exporter in found.exporters):
        yield "  gRPC does not like a process that forks: for the prefork pool http/protobuf is the safer choice."
    if found.log_ids:
        yield "The task log carries trace_id and span_id (OTEL_PYTHON_LOG_CORRELATION)."
