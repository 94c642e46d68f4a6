"""What the benchmarks share: a broker, the ways to run a worker on it, tasks in its queue, and tables.

Tasks are published once and set aside; :meth:`Rig.release` puts a copy of them into the queue in one step, so that
neither publishing nor a worker's start is measured along with the tasks.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from otel_celery.lifecycle import SENT_HEADER
from tests.benchmarks.app import app
from tests.integration.worker.harness import Worker, start_worker
from tests.services import LOOPBACK, redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

QUEUE = "bench"
FIRST_TASK = "bench.nothing_0"
PLAIN = ("-l", "WARNING", "--without-heartbeat", "-Q", QUEUE)
"""Without a log line a task, which would cost bare Celery more and make us look cheaper."""

WATCHED = ("-I", "otel_celery.hook")


@dataclass(frozen=True)
class Mode:
    """One way to run a worker."""

    app: str = "tests.benchmarks.app"
    switch: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


MODES = {
    "bare": Mode(),
    "otel-celery": Mode(switch=WATCHED),
    "sdk": Mode(app="tests.benchmarks.app_sdk", switch=WATCHED),
    "traces": Mode(
        switch=WATCHED,
        environment={"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:1"},
    ),
    "events": Mode(arguments=("-E",)),
}
"""Bare Celery; all metrics on; all metrics on an application's own MeterProvider; all metrics, and spans that nobody
takes; bare Celery sending events."""


@dataclass
class Rig:
    """A broker with tasks that can be released, and a place for the workers' files."""

    url: str
    server: redis.Redis
    directory: Path

    def set_aside(self, key: str, numbers: Mapping[str, int]) -> None:
        """Publish so many tasks of each name, and keep them under ``key``."""
        self.server.delete(QUEUE, key)
        with app.connection_for_write(self.url) as connection, app.amqp.Producer(connection) as producer:
            for name, number in numbers.items():
                for _ in range(number):
                    app.send_task(name, producer=producer, queue=QUEUE, headers={SENT_HEADER: time.time()})
        self.server.rename(QUEUE, key)

    def release(self, key: str) -> int:
        """Put a copy of what was set aside into the queue, and tell how many tasks it holds."""
        self.server.copy(key, QUEUE, replace=True)
        return int(self.server.llen(key))

    def is_drained(self) -> bool:
        """Tell whether every task that was released has been acknowledged."""
        return not self.server.exists(QUEUE) and not self.server.exists("unacked")

    def run(self, key: str, worker: Worker, seconds: float = 600) -> float:
        """Release tasks, wait until the worker has done them, and tell how many it did in a second."""
        number = self.release(key)
        await_(lambda: self.server.llen(QUEUE) != number, worker, seconds)
        begun = time.perf_counter()
        await_(self.is_drained, worker, seconds)
        return number / (time.perf_counter() - begun)

    def start(self, mode: Mode, *, environment: Mapping[str, str] | None = None, **options: Any) -> Worker:
        """Start a worker in one of the modes."""
        full = {"BENCH_BROKER": self.url, "PYTHONHASHSEED": "0", **mode.environment, **(environment or {})}
        arguments = (*PLAIN, *mode.arguments)
        return start_worker(
            self.directory, environment=full, app=mode.app, switch=mode.switch, arguments=arguments, **options
        )

    @contextmanager
    def running(self, mode: Mode, **options: Any) -> Iterator[Worker]:
        """Start a worker, and end it whatever happens."""
        worker = self.start(mode, **options)
        try:
            yield worker
        finally:
            if worker.process.poll() is None:
                worker.stop()


@contextmanager
def rig() -> Iterator[Rig]:
    """Start a broker of our own, and throw everything away in the end."""
    with redis_server() as url, redis.Redis.from_url(url) as server:
        directory = Path(tempfile.mkdtemp(prefix="otel-celery-bench-"))
        try:
            yield Rig(url, server, directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def await_(what: Callable[[], bool], worker: Worker, seconds: float, step: float = 0.002) -> None:
    """Wait in small steps, and say what the worker logged if it died or never came to it."""
    deadline = time.monotonic() + seconds
    while not what():
        if worker.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the worker did not do its tasks:\n{worker.log[-4000:]}")
        time.sleep(step)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table, all but the first column to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in [head, *rows])
    )
