"""Workers that only Prometheus sees: pages of metrics of many tasks, each with the time at which it was."""

from __future__ import annotations

import http.server
import random
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from otel_celery.catalogue import BUCKETS, METRICS, START, Kind
from otel_celery.record.reference import exported_name
from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.catalogue import Metric

STEP, STEPS = 15, 84
"""Seconds between two pages, and how many there are."""
BOUNDS = [*map(str, BUCKETS), "+Inf"]

WORDS = {
    "status": ("success", "failure", "retry", "rejected", "ignored", "revoked", "unreported"),
    "reason": ("revoked", "expired", "terminated"),
    "limit": ("soft", "hard"),
    "exception": ("ValueError",),
}
"""Labels of a task's own metrics, and their values."""
GROWS = re.compile(r"_seconds_|_(received|started|succeeded)_total|success")
"""What a task does all the time."""


@dataclass
class Fleet:
    """Workers whose series grow: each answers its nth scrape with its nth page."""

    workers: int
    tasks: int
    scrapes: dict[str, int] = field(default_factory=dict)
    _pages: list[bytes] = field(default_factory=list)

    def write(self, begun: float) -> None:
        """Write the pages, from ``begun`` on, which all workers share: Prometheus adds the worker's name."""
        names = [*series(self.tasks)]
        values = [0] * len(names)
        for step in range(STEPS):
            values = [value + _grown(name) for name, value in zip(names, values, strict=True)]
            now = begun + step * STEP
            at = int(now * 1000)
            lines = [f"{name} {value} {at}" for name, value in zip(names, values, strict=True)]
            levels = [f"{name} {value} {at}" for name, value in level(self.tasks, now)]
            self._pages.append("\n".join([*lines, *levels, ""]).encode())

    def page(self, path: str) -> bytes:
        """Give a worker's next page; nothing once all were given."""
        number = self.scrapes.get(path, 0)
        self.scrapes[path] = number + 1
        return self._pages[number] if number < STEPS else b"\n"

    def is_taken_in(self) -> bool:
        """Tell whether each worker has given all its pages."""
        return len(self.scrapes) == self.workers and min(self.scrapes.values()) > STEPS

    def size(self) -> int:
        """Count the series of one worker."""
        return len([*series(self.tasks), *level(self.tasks, 0)])

    @contextmanager
    def served(self) -> Iterator[int]:
        """Serve the workers; give their port."""

        class Handler(http.server.BaseHTTPRequestHandler):
            fleet = self

            def do_GET(self) -> None:
                body = self.fleet.page(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
                pass

        with http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()


def _grown(name: str) -> int:
    """Say how many more there are after a step: of what goes well up to nineteen, of all else one at times."""
    return random.randrange(20) if GROWS.search(name) else int(random.random() < 1 / 20)


def series(tasks: int) -> Iterator[str]:
    """Name what a worker counts of its tasks; what it publishes itself is left out."""
    for metric in METRICS:
        if "task_name" in metric.attributes and "publish" not in metric.name and "beat" not in metric.name:
            if metric.kind is Kind.COUNTER:
                yield from (f"{exported_name(metric)}{{{labels}}}" for labels in _labels(metric, tasks))
            elif metric.kind is Kind.HISTOGRAM:
                for labels in _labels(metric, tasks):
                    yield from (f'{exported_name(metric)}_bucket{{{labels},le="{bound}"}}' for bound in BOUNDS)
                    yield from (f"{exported_name(metric)}_{part}{{{labels}}}" for part in ("sum", "count"))


def level(tasks: int, now: float) -> Iterator[tuple[str, float]]:
    """Say what a worker's levels are: it is busy and well, and was just started."""
    for metric in METRICS:
        if metric.kind is Kind.GAUGE and "task_name" in metric.attributes and "beat" not in metric.name:
            value = now if "timestamp" in metric.name else 1
            yield from ((f"{exported_name(metric)}{{{labels}}}", value) for labels in _labels(metric, tasks))
    for name, value in {"up": 1, "broker_connected": 1, "draining": 0, "tasks_active": 4, "pool_size": 8}.items():
        yield f"celery_worker_{name}", value
    yield 'celery_worker_queue_info{queue="queue_0"}', 1
    yield from ((name, now - 60) for name in ("process_start_time_seconds", exported_name(START)))


def _labels(metric: Metric, tasks: int) -> Iterator[str]:
    words = [label for label in metric.attributes if label in WORDS]
    for task, values in product(range(tasks), product(*(WORDS[word] for word in words))):
        found = {"task_name": f"shop.tasks.number_{task}", **dict(zip(words, values, strict=True))}
        if "queue" in metric.attributes:
            found["queue"] = f"queue_{task % 10}"
        yield ",".join(f'{label}="{value}"' for label, value in found.items())
