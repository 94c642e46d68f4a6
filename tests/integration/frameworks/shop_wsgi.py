"""A web application: each request publishes one message, and ``/metrics`` shows what was published."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery import Celery
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess

from otel_celery import instrument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

app = Celery("shop", broker=os.environ["T_BROKER"])
handle = instrument(app, registry=REGISTRY if "PROMETHEUS_MULTIPROC_DIR" in os.environ else None)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the id of the process, or with the sum over all processes; for gunicorn and uWSGI."""
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
    if path == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)
    app.send_task("shop.order", queue="orders")
    return str(os.getpid()).encode()
