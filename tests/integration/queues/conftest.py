"""Start the queue exporter as a process, and end it whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from kombu import pools

from tests import rabbitmq
from tests.integration.queues.office import broker, office
from tests.integration.worker.conftest import site
from tests.integration.worker.harness import ROOT, Worker, wait_until
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["broker", "export", "office", "site"]

INTERVAL = "2000"
"""Milliseconds between two refreshes, so that a test need not wait."""


@pytest.fixture(scope="session")
def shared_node() -> Iterator[rabbitmq.Node]:
    """Start a RabbitMQ whose management API answers, once."""
    with rabbitmq.node(management=True) as node:
        yield node


@pytest.fixture
def managed(shared_node: rabbitmq.Node) -> rabbitmq.Node:
    """Give it without queues: what another test, or an earlier try, has left would be counted as well.

    Kombu remembers what a connection of the same URL has declared, and would declare it no more.
    """
    pools.reset()
    shared_node.empty()
    return shared_node


@pytest.fixture
def rabbitmq_url(managed: rabbitmq.Node) -> str:
    """Give the URL of the same, so that no second one has to be started."""
    return managed.url


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Yield a function that starts an exporter with these arguments and variables, and waits for its port."""
    with ExitStack() as stack:

        def start(*arguments: str, answers: Callable[[Worker], bool] = _answers, **environ: str) -> Worker:
            port, log = free_port(), tmp_path / f"exporter{len(list(tmp_path.iterdir()))}.log"
            command = [sys.executable, "-m", "otel_celery.cli", "queues", "serve", "--port", str(port), *arguments]
            settings = {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
                "OTEL_PYTHON_CELERY_QUEUES_INTERVAL": INTERVAL,
                **environ,
            }
            with log.open("wb") as out:
                process = subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=out, stderr=subprocess.STDOUT)
            stack.callback(_end, process)
            made = Worker("exporter", port, process, log, tmp_path / "none", settings)
            wait_until(lambda: answers(made), f"the port is open\n{made.log}")
            return made

        yield start


def _answers(exporter: Worker) -> bool:
    """Tell whether the port is open."""
    assert exporter.process.poll() is None, exporter.log
    try:
        return exporter.get("/-/healthy")[0] == 200
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
