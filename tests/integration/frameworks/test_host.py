"""Several workers on one host: by one command, and by hand."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from tests.integration.frameworks.examples import FRAMEWORKS, Example

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Site

pytestmark = pytest.mark.prefork

TASKS = {"mail": ("shop.send_receipt", 9101), "stock": ("shop.count_stock", 9102)}


@pytest.fixture
def example(site: Site, tmp_path: Path) -> Example:
    """Give the example, on an empty broker."""
    return Example(FRAMEWORKS / "host", site.broker, tmp_path)


def publish(example: Example) -> None:
    """Send each queue a task."""
    with Celery("client", broker=example.broker, set_as_current=False) as client:
        for queue, (task, _) in TASKS.items():
            client.send_task(task, (7,), queue=queue)


def test_pools_up_starts_both(example: Example) -> None:
    """One command starts the workers of pools.toml; status and targets name them, and each counts its own queue."""
    ports = {
        f"OTEL_PYTHON_CELERY_POOL_{name.upper()}_PORT": str(example.ports[port]) for name, (_, port) in TASKS.items()
    }
    with example.start(example.command("pools up"), **ports) as fleet:
        for name in TASKS:
            fleet.wait_for(rf"{name}@localhost ready\.")
        publish(example)
        for task, port in TASKS.values():
            example.wait_for_success(task, port)
        status = example.run(example.command("pools status"), **ports)
        assert all(re.search(rf"{name}\b.*\byes\b", status) for name in TASKS)
        targets = json.loads(example.run(example.command("targets"), **ports))
        assert {target for group in targets for target in group["targets"]} == {
            f"localhost:{example.ports[port]}" for _, port in TASKS.values()
        }
        fleet.process.terminate()
        assert fleet.end() == 0


def test_two_lines_start_both(example: Example) -> None:
    """By hand each line has its own port, node name and queue."""
    with (
        example.start(example.command("-n mail@localhost")) as mail,
        example.start(example.command("-n stock@localhost")) as stock,
    ):
        mail.wait_for(r"mail@localhost ready\.")
        stock.wait_for(r"stock@localhost ready\.")
        publish(example)
        for queue, (task, port) in TASKS.items():
            scrape = example.wait_for_success(task, port)
            assert scrape.labels("celery_worker_up", "worker") == {f"{queue}@localhost"}
        for fleet in (mail, stock):
            fleet.process.terminate()
            assert fleet.end() == 0
