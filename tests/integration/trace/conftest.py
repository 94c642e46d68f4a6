"""Fixtures that start real workers which make spans, a receiver that writes them down, and a process that publishes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.trace.tree import tree
from tests.integration.worker.conftest import Site, database, open_site
from tests.integration.worker.harness import ROOT, Worker, wait_until
from tests.otlp import http_receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.otlp import Receiver, Span

PATIENCE = 90.0
"""Celery alone takes up to ten seconds to notice that a child is gone."""


@dataclass
class Stage:
    """A broker, a receiver of spans, and the workers and publishers that are started on them."""

    site: Site
    receiver: Receiver

    def environment(self, **more: str) -> dict[str, str]:
        """Say what switches spans on, with a schedule so slow that a flush alone sends them, unless told otherwise."""
        return {
            "T_BROKER": self.site.broker,
            "T_BACKEND": self.site.backend,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.url,
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            **more,
        }

    def start(self, *, environment: dict[str, str] | None = None, **options: Any) -> Worker:
        """Start a worker without metrics, and wait until it is ready."""
        full = self.environment(**{"PROMETHEUS_ENABLED": "", **(environment or {})})
        worker = self.site.start(environment=full, app="tests.integration.trace.proj", **options)
        wait_until(lambda: self._is_ready(worker), "the worker is ready", PATIENCE)
        return worker

    def publish(self, *what: str, **environment: str) -> dict[str, tuple[str, str]]:
        """Have a process of its own publish scenarios; tell each one's trace id and result id."""
        ended = self.run("tests.integration.trace.publisher", *what, **environment)
        return {name: (trace_id, result) for name, (trace_id, result) in json.loads(ended.stdout).items()}

    def run(self, module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a module that publishes, in an environment like the worker's."""
        full = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "T_LINE": "1", **self.environment(**environment)}
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=full,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def expect(self, trace_id: str, wanted: list[Any]) -> None:
        """Wait for a trace, and compare it as a whole."""
        with_patience(lambda: tree(self.receiver.spans(), trace_id) == wanted)
        assert tree(self.receiver.spans(), trace_id) == wanted

    def one(self, trace_id: str, name: str) -> Span:
        """Wait for the one span of this name in a trace."""
        with_patience(lambda: self.named(trace_id, name))
        (span,) = self.named(trace_id, name)
        return span

    def named(self, trace_id: str, name: str) -> list[Span]:
        """List the spans of this name that have arrived of a trace."""
        return [span for span in self.receiver.spans(name) if span.data.trace_id.hex() == trace_id]

    def wait_done(self, result: str) -> None:
        """Wait until a task has ended, whatever became of it."""
        wait_until(self.site.client.AsyncResult(result).ready, f"{result} has ended", PATIENCE)

    @staticmethod
    def _is_ready(worker: Worker) -> bool:
        assert worker.process.poll() is None, worker.log
        return " ready." in worker.log


def with_patience(what: Callable[[], object]) -> None:
    """Wait until something is true, or long enough: the caller compares, and so says what is wrong."""
    try:
        wait_until(what, "", PATIENCE)
    except AssertionError:
        return


@contextmanager
def open_stage(redis_url: str, directory: Path) -> Iterator[Stage]:
    """Give an empty broker and a receiver."""
    broker, backend = database(redis_url, 1), database(redis_url, 2)
    with http_receiver() as receiver, open_site(broker, backend, directory) as site:
        yield Stage(site, receiver)


@pytest.fixture
def stage(redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Give a stage to one test."""
    with open_stage(redis_url, tmp_path) as opened:
        yield opened
