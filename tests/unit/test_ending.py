"""How long the end of a worker or a child may be held up: what is written of it, and that it is so."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_celery import ending
from otel_celery.forks import gate
from otel_celery.outlets import Outlets
from otel_celery.outward import Outward
from otel_celery.record.recording import Recording
from otel_celery.relay.main.relay import Relay
from otel_celery.relay.wire import address, frames
from otel_celery.serve.health import WorkerHealth
from otel_celery.serve.server import open_endpoint
from otel_celery.settings import variables
from otel_celery.settings.settings import read
from otel_celery.settings.traces import Traces
from tests.integration.worker.harness import wait_until
from tests.services import LOOPBACK, free_port
from tests.unit.record.fakes import FakeLevels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.settings.settings import Settings

COST = (Path(__file__).parents[2] / "docs" / "cost.md").read_text("utf-8")
FLUSH = "OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT"


def test_the_page_has_the_bounds_as_they_are() -> None:
    """docs/cost.md lists each bound of an end, and no other."""
    rows = re.findall(r"^\| (a child's|a worker's) end \| (.*?) \| ([\d.]+) s(?: \(`(\w+)`\))? \|$", COST, re.MULTILINE)
    assert [(whose, float(seconds), variable) for whose, _, seconds, variable in rows] == [
        ("a child's", ending.SPANS_SECONDS, FLUSH),
        ("a child's", ending.CHILD_METRICS_SECONDS, ""),
        ("a worker's", ending.WORKER_SECONDS, ""),
        ("a worker's", ending.STRAGGLERS_SECONDS, ""),
        ("a worker's", ending.THREAD_SECONDS, ""),
    ]


def test_the_bound_of_spans_is_the_variables_default() -> None:
    """Who sets nothing gets what is written here."""
    assert variables.FLUSH.name == FLUSH
    assert variables.FLUSH.default == 1000 * ending.SPANS_SECONDS
    assert Traces(()).flush_seconds == ending.SPANS_SECONDS


def test_half_a_second_is_left_for_the_last_metrics() -> None:
    """Even where the relay's children and its thread take all the time that they may."""
    assert ending.WORKER_SECONDS - ending.STRAGGLERS_SECONDS - ending.THREAD_SECONDS >= 0.5


class Hanging:
    """A registry whose scrape hangs until it is let go."""

    def __init__(self) -> None:
        """Hang from the first scrape on."""
        self.reached, self.is_let_go = threading.Event(), threading.Event()

    def collect(self) -> Iterator[Any]:
        """Hang."""
        self.reached.set()
        self.is_let_go.wait(60)
        return iter(())


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Push to a collector that never answers."""
    with socket.create_server((LOOPBACK, 0)) as collector:
        url = f"http://{LOOPBACK}:{collector.getsockname()[1]}"
        yield read(
            {
                "PROMETHEUS_ENABLED": "true",
                "PROMETHEUS_PORT": str(free_port()),
                "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            }
        )


def speak(environ: dict[str, str]) -> socket.socket:
    """Connect as a child would, one that neither records nor ends."""
    where = address.read(environ)
    assert where is not None
    child = socket.socket(socket.AF_UNIX)
    address.connect(child, where, 1.0)
    child.send(frames.Hello(os.urandom(frames.NAME_SIZE), os.getpid()).pack(where.secret))
    return child


@pytest.mark.alone
def test_an_end_at_which_everything_hangs_takes_three_seconds(settings: Settings) -> None:
    """A child stays, a scrape hangs, which holds up relay and push as well, and no collector answers."""
    environ: dict[str, str] = {}
    recording, levels, hanging = Recording(settings, "w@h", "proj"), FakeLevels(), Hanging()
    recording.register(levels)
    pushed: list[str] = []
    assert recording.pushers is not None
    recording.pushers.pushed = pushed.append
    recording.start_pushing(gate().hold)
    assert pushed
    outward = Outward("worker w@h", recording, recording.tallies, strict=False, host="worker")
    outlets = Outlets(recording, outward, None)
    outlets.watch(levels)
    lost = failed = print
    relay = Relay(
        recording.provider, is_ours=recording.is_ours, label_length=200, gate=gate(), lost=lost, failed=failed
    )
    relay.open(environ, has_children=True)
    outlets.take(relay)
    relay.start()
    assert settings.port is not None
    outward.endpoint = open_endpoint(
        settings.port._replace(host=LOOPBACK),
        lambda: hanging,
        WorkerHealth(levels),
        open_page=lambda: pytest.fail("nobody asks for the page"),
        on_open=lambda _: None,
        on_taken=lambda error: pytest.fail(str(error)),
        on_error=lambda *_: None,
    )
    try:
        with speak(environ), socket.create_connection((LOOPBACK, outward.endpoint.port)) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(hanging.reached.is_set, "the scrape hangs")
            began = time.monotonic()
            outlets.close()
            took = time.monotonic() - began
    finally:
        hanging.is_let_go.set()
    longest = ending.WORKER_SECONDS + ending.THREAD_SECONDS
    assert longest - 0.1 < took < longest + 0.5
