"""A small Celery system: an app whose one task ends in every way that celery-exporter counts, and what runs it.

As a script it is a web process of sorts: it publishes that task until it is ended, and serves what it published.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from celery import Celery
from celery.exceptions import Reject

from otel_celery import instrument
from tests.integration.stack.servers import ROOT, start
from tests.services import LOOPBACK, free_port, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from celery import Task

MODULE = "tests.integration.stack.shop"
ENDS = ("success", "failure", "retry", "rejection", "expiry")

app = Celery("shop", broker=os.environ.get("T_BROKER", "memory://"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_default_queue="orders",
    beat_schedule={"pay": {"task": "shop.pay", "schedule": 0.5, "args": ("success",)}},
    beat_max_loop_interval=1,
)


@app.task(name="shop.pay", bind=True, max_retries=1)
def pay(self: Task, end: str) -> None:
    """Pay an order, or not."""
    time.sleep(0.01)
    if end == "failure":
        raise ValueError("the bank declined")
    if end == "retry" and not self.request.retries:
        raise self.retry(countdown=0)
    if end == "rejection":
        raise Reject("no such order", requeue=False)


@contextmanager
def running(directory: Path) -> Iterator[Mapping[str, str]]:
    """Run a worker, a queue exporter, beat and a publisher; give each one's address, by the job's name."""
    with ExitStack() as stack:
        environ = {
            "T_BROKER": stack.enter_context(redis_server()),
            "PYTHONPATH": str(ROOT),
            "PROMETHEUS_ENABLED": "true",
            "OTEL_PYTHON_CELERY_QUEUES_INTERVAL": "1000",
        }

        def address(*command: str, ready: str = "/-/ready") -> str:
            port = free_port()
            full = [sys.executable, "-m", *(word.format(port=port) for word in command)]
            server = start(full, port, directory, ready=ready, environ={**environ, "PROMETHEUS_PORT": str(port)})
            return stack.enter_context(server).address

        celery = ("celery", "-A", MODULE)
        yield {
            "celery": address(*celery, "worker", "-P", "threads", "-c", "2", "-n", "w@host1", "--without-mingle"),
            "celery-queues": address("otel_celery.cli", "queues", "serve", "-A", MODULE, "--port", "{port}"),
            "celery-beat": address(*celery, "beat", "-s", str(directory / "schedule")),
            "web": address(MODULE, "{port}", ready="/metrics"),
        }


def publish(port: int) -> None:
    """Publish, some ten messages a second."""
    from prometheus_client import REGISTRY, start_http_server

    instrument(app, registry=REGISTRY)
    start_http_server(port, LOOPBACK)
    for end in itertools.cycle(ENDS):
        app.tasks["shop.pay"].apply_async((end,), expires=0 if end == "expiry" else None)
        time.sleep(0.1)


if __name__ == "__main__":
    publish(int(sys.argv[1]))
else:
    instrument(app)
