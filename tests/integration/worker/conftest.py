"""Fixtures that start real workers, and end them whatever happens."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery
from kombu import pools

from tests.integration.worker.harness import Worker, start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celery.backends.redis import RedisBackend


@dataclass
class Site:
    """A broker, a client that publishes to it, and the workers that consume from it."""

    broker: str
    backend: str
    client: Celery
    directory: Path
    stack: ExitStack

    def start(self, *, environment: dict[str, str] | None = None, backend: bool = True, **options: Any) -> Worker:
        """Start a worker; it is ended with the test, if not before."""
        full = {"T_BROKER": self.broker, "T_BACKEND": self.backend if backend else "", **(environment or {})}
        full.setdefault("T_START_METHOD", os.environ.get("OTEL_CELERY_TEST_START_METHOD", ""))
        if freeze := os.environ.get("OTEL_CELERY_TEST_GC_FREEZE"):
            full.setdefault("OTEL_PYTHON_CELERY_GC_FREEZE", freeze)
        worker = start_worker(self.directory, environment=full, **options)
        self.stack.callback(_end, worker)
        return worker


@contextmanager
def open_site(broker: str, backend: str, directory: Path) -> Iterator[Site]:
    """Give an empty broker; what an earlier test left there is thrown away."""
    for url in {broker, backend}:
        if url.startswith("redis"):
            with redis.Redis.from_url(url) as server:
                server.flushdb()
    client = Celery("client", broker=broker, backend=backend, set_as_current=False)
    client.conf.broker_connection_retry_on_startup = True
    with ExitStack() as stack:
        stack.callback(pools.reset)  # of kombu, by URL and for all apps: the next test has connections of its own
        stack.callback(client.close)
        if backend.startswith("redis"):
            stack.callback(_hang_up, client.backend)
        yield Site(broker, backend, client, directory, stack)


@pytest.fixture
def site(redis_url: str, tmp_path: Path) -> Iterator[Site]:
    """Give a site on Redis."""
    with open_site(database(redis_url, 1), database(redis_url, 2), tmp_path) as opened:
        yield opened


def _hang_up(backend: RedisBackend) -> None:
    """Close the connections that results came by, for good: an older redis-py leaves that to the garbage collector.

    A result that is collected during a later test unsubscribes, for which Celery would open another connection.
    """
    backend.result_consumer.stop()
    backend.result_consumer._pubsub = None
    backend.client.connection_pool.disconnect()


def database(url: str, number: int) -> str:
    """Point a Redis URL at one of its databases."""
    return f"{url.rsplit('/', 1)[0]}/{number}"


def _end(worker: Worker) -> None:
    if worker.process.poll() is None:
        worker.process.kill()
        worker.process.wait()
