"""Real web servers that publish: the figures of their processes add up to what was published, in each way to record."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import ROOT, Scrape, wait_until
from tests.otlp import http_receiver
from tests.services import free_port, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.integration.worker.conftest import Site

REQUESTS = 120
MODULE = "tests.integration.frameworks.shop_wsgi"


@contextmanager
def server(log: Path, port: int, command: Sequence[str], environment: dict[str, str]) -> Iterator[None]:
    """Start a web server, and end it as its operator does."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PROMETHEUS_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**inherited, "PYTHONPATH": str(ROOT), **environment}, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: answers(port, process), "the web server answers")
        yield
        process.terminate()
        assert process.wait(30) in {0, -15}, log.read_text()
        assert "Traceback" not in log.read_text()
        assert "Prometheus metrics server" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the server answers."""
    assert process.poll() is None
    try:
        return bool(ask(port))
    except OSError:
        return False


def ask(port: int, path: str = "/") -> str:
    """Ask the server."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def order(port: int) -> set[str]:
    """Place all orders but that of the first answer, many at once; tell which processes answered."""
    with ThreadPoolExecutor(8) as pool:
        return set(pool.map(lambda _: ask(port), range(REQUESTS - 1)))


def gunicorn(port: int, *arguments: str) -> list[str]:
    """Start gunicorn with four workers."""
    require(importlib.util.find_spec("gunicorn"), "gunicorn is not installed: pip install --group green")
    command = [sys.executable, "-m", "gunicorn", f"{MODULE}:application", "-w", "4", "-b", f"127.0.0.1:{port}"]
    return [*command, *arguments]


def test_four_processes_of_gunicorn_share_a_registry(site: Site, tmp_path: Path) -> None:
    """In multiprocess mode any of them shows the sum of all."""
    port, directory = free_port(), tmp_path / "values"
    directory.mkdir()
    environment = {"T_BROKER": site.broker, "PROMETHEUS_MULTIPROC_DIR": str(directory), "PROMETHEUS_ENABLED": "true"}
    with server(tmp_path / "log", port, gunicorn(port), environment):
        assert len(order(port)) > 1
        scrape = Scrape(ask(port, "/metrics"))
        labels = {"task_name": "shop.order", "queue": "orders"}
        assert scrape.value("celery_task_published_total", **labels) == REQUESTS
        assert scrape.value("celery_task_publish_duration_seconds_count", **labels) == REQUESTS


@pytest.mark.parametrize("arguments", [("-k", "gthread"), ("-k", "gevent", "--preload")], ids=" ".join)
def test_each_process_of_gunicorn_pushes_its_own(site: Site, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What they have pushed when they have ended adds up to what was published."""
    port = free_port()
    with http_receiver() as receiver:
        environment = {
            "T_BROKER": site.broker,
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        }
        with server(tmp_path / "log", port, gunicorn(port, *arguments), environment):
            processes = order(port)
        assert receiver.latest("celery.task.published", task_name="shop.order", queue="orders") == REQUESTS
        assert len({point.resource["process.pid"] for point in receiver.points("celery.task.published")}) == len(
            processes
        )
