"""Real web servers that publish: the figures of their processes add up to what was published, in each way to record."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from tests.integration.worker.harness import ROOT, Scrape, wait_until
from tests.otlp import http_receiver
from tests.services import LOOPBACK, free_port, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.integration.worker.conftest import Site
    from tests.otlp import Receiver

REQUESTS = 40
MODULE = "tests.integration.frameworks.shop_wsgi"
BIN = Path(sys.executable).parent
GUNICORN = (sys.executable, "-m", "gunicorn", f"{MODULE}:application", "-b", f"{LOOPBACK}:{{port}}", "-w")
UVICORN = (sys.executable, "-m", "uvicorn", f"{MODULE}:asgi", "--port", "{port}", "--workers")
UWSGI = (
    *(f"{BIN}/uwsgi", "--http-socket", f"{LOOPBACK}:{{port}}", "--module", f"{MODULE}:application", "--master"),
    *("--need-app", "--die-on-term", "--enable-threads", "--processes"),
)
SERVERS = {
    "gunicorn": (2, (*GUNICORN, "2")),
    "gunicorn --preload": (4, (*GUNICORN, "4", "--preload")),
    "gunicorn gthread": (2, (*GUNICORN, "2", "-k", "gthread", "--threads", "4")),
    "gunicorn gthread --preload": (2, (*GUNICORN, "2", "-k", "gthread", "--threads", "4", "--preload")),
    "gunicorn gevent": (2, (*GUNICORN, "2", "-k", "gevent")),
    "gunicorn gevent --preload": (2, (*GUNICORN, "2", "-k", "gevent", "--preload")),
    "uvicorn": (1, (*UVICORN, "1")),
    "uvicorn --workers": (2, (*UVICORN, "2")),
    "uwsgi": (2, (*UWSGI, "2")),
    "uwsgi --lazy-apps": (2, (*UWSGI, "2", "--lazy-apps")),
}
"""The number of processes, and the command."""


@contextmanager
def serving(log: Path, port: int, command: Sequence[str], environment: dict[str, str]) -> Iterator[str]:
    """Start a web server, give its first answer, and end it as its operator does."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PROMETHEUS_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [word.format(port=port) for word in command],
            cwd=ROOT,
            env={**inherited, "PYTHONPATH": str(ROOT), **environment},
            stdout=out,
            stderr=out,
        )
    try:
        yield str(wait_until(lambda: first(port, process), "the web server answers"))
        process.terminate()
        assert process.wait(30) in {0, -15}, log.read_text()
        assert "Traceback" not in log.read_text()
        assert "Prometheus metrics server" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def first(port: int, process: subprocess.Popen[bytes]) -> str:
    """Ask a server that may not listen yet."""
    assert process.poll() is None
    try:
        return ask(port)
    except OSError:
        return ""


def ask(port: int, path: str = "/") -> str:
    """Ask the server."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def order(port: int, processes: int) -> list[str]:
    """Place orders, many at once, until each process has answered one."""
    answers: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        while len(answers) < REQUESTS or len(pids(answers)) < processes:
            answers += pool.map(lambda _: ask(port), range(REQUESTS))
    return answers


def pids(answers: Sequence[str]) -> set[str]:
    """Tell which processes have answered."""
    return {answer.split()[0] for answer in answers}


def provided(answers: Sequence[str]) -> int:
    """Add up the most that the provider of each process has counted."""
    most: dict[str, int] = {}
    for pid, number in map(str.split, answers):
        most[pid] = max(most.get(pid, 0), int(number))
    return sum(most.values())


def environment_of(way: str, site: Site, directory: Path, receiver: Receiver, processes: int) -> dict[str, str]:
    """Ask for one way to record; none of them has anything to do with a port."""
    environment = {"T_WAY": way, "T_BROKER": site.broker, "PROMETHEUS_ENABLED": "true"}
    if way == "otlp":
        environment |= {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    if way == "registry" and processes > 1:
        directory.mkdir()
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    return environment


@pytest.mark.parametrize("way", ["provider", "otlp", "registry"])
@pytest.mark.parametrize("name", SERVERS)
def test_the_processes_add_up_to_what_was_published(site: Site, tmp_path: Path, name: str, way: str) -> None:
    """Each has counted what it published, none what another did, and the broker has as many messages."""
    server = name.split(maxsplit=1)[0]
    require(importlib.util.find_spec({"uwsgi": "pyuwsgi"}.get(server, server)), f"{server} is not installed: see dev")
    processes, command = SERVERS[name]
    port, labels = free_port(), {"task_name": "shop.order", "queue": "orders"}
    with http_receiver() as receiver:
        environment = environment_of(way, site, tmp_path / "values", receiver, processes)
        with serving(tmp_path / "log", port, command, environment) as answer:
            answers = [answer, *order(port, processes)]
            scrape = Scrape(ask(port, "/metrics"))
            if server == "uwsgi":  # a process of it that is told to end before it has logged its answer is busy
                wait_until(lambda: "GET /metrics =>" in (tmp_path / "log").read_text(), "the answer is logged")
        points = receiver.points("celery.task.published")
        pushed = receiver.latest("celery.task.published", **labels)
    with redis.Redis.from_url(site.broker) as broker:
        assert broker.llen("orders") == len(answers)
    counted = scrape.value("celery_task_published_total", **labels)
    assert scrape.value("celery_task_publish_duration_seconds_count", **labels) == counted
    found = {"provider": provided(answers), "otlp": pushed, "registry": counted}
    assert found == {**dict.fromkeys(found, 0), way: len(answers)}
    if way == "otlp":
        assert {str(point.resource["process.pid"]) for point in points} == pids(answers)
