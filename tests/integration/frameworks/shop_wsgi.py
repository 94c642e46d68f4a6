"""A web application: each request publishes one message, and ``/metrics`` shows what its registry has counted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery import Celery
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess

from otel_celery import instrument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WAY = os.environ["T_WAY"]
"""How the figures are kept: ``provider``, ``otlp`` or ``registry``."""

reader = InMemoryMetricReader()
if WAY == "provider":
    metrics.set_meter_provider(MeterProvider([reader]))
app = Celery("shop", broker=os.environ["T_BROKER"])
handle = instrument(app, registry=REGISTRY if WAY == "registry" else None)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request; for gunicorn and uWSGI."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [_answer(environ["PATH_INFO"])]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Answer the same; for uvicorn, which ends by the signal that it was sent, so that no exit handler runs."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        handle.uninstrument()
        await send({"type": "lifespan.shutdown.complete"})
    if scope["type"] == "http":
        await receive()
        body = _answer(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body})


def _answer(path: str) -> bytes:
    """Answer with the id of the process and with what its provider has counted; or with the registry's figures."""
    if path == "/metrics":
        return generate_latest(_registry())
    app.send_task("shop.order", queue="orders")
    return f"{os.getpid()} {_provided()}".encode()


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return registry


def _provided() -> int:
    """Give the number that the application's own provider has been told."""
    data = reader.get_metrics_data() if WAY == "provider" else None
    scopes = data.resource_metrics[0].scope_metrics if data else []
    points = [
        point
        for scope in scopes
        for metric in scope.metrics
        for point in metric.data.data_points
        if metric.name == "celery.task.published" and isinstance(point, NumberDataPoint)
    ]
    return int(points[0].value) if points else 0
