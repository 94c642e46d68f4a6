"""A RabbitMQ that is killed and started again while the exporter and a publisher run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import rabbitmq
from tests.integration.queues.office import MODULE, Office, RabbitMQ
from tests.integration.worker.harness import ROOT, wait_until
from tests.otlp import http_receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.worker.harness import Scrape, Worker

ROUNDS = 3
COUNTED = ("published", "publish.failures", "publish.duration")


def length(scrape: Scrape) -> float | None:
    """Give the length of the letters' queue, or nothing where none is shown."""
    return scrape.value("celery_queue_length", queue="letters") if scrape.has("celery_queue_length") else None


def resources(pid: int) -> tuple[int, int]:
    """Count a process's threads and descriptors."""
    process = Path("/proc", str(pid))
    return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


@pytest.mark.timeout(240)
def test_a_killed_rabbitmq_leaves_no_old_number_and_no_thread(export: Callable[..., Worker], tmp_path: Path) -> None:
    """While it is away nothing is shown and failures are counted; what the publisher saw is what is counted."""
    stop, book = tmp_path / "stop", tmp_path / "book.json"
    with rabbitmq.node() as node, http_receiver() as receiver:
        office = Office(RabbitMQ(node), tmp_path, receiver, [])
        exporter = export("-A", MODULE, **office.environment(), OTEL_PYTHON_CELERY_QUEUES_INTERVAL="1000")
        command = [sys.executable, "-m", "tests.integration.queues.steady", str(stop), str(book)]
        publisher = subprocess.Popen(command, cwd=ROOT, env=office.environment(**office.pushing))
        try:
            wait_until(lambda: length(exporter.scrape()), "letters wait")
            before = resources(exporter.process.pid)
            for _ in range(ROUNDS):
                node.kill()
                wait_until(lambda: exporter.get("/-/ready")[0] == 503, "the exporter is not ready")
                assert length(exporter.scrape()) is None
                assert exporter.get("/-/healthy")[0] == 200
                refused = told(book)["refused"]
                wait_until(lambda: told(book)["refused"] > refused, "the publisher is refused")  # noqa: B023  at once
                node.start()
                taken = told(book)["taken"]
                wait_until(lambda: told(book)["taken"] > taken, "the publisher's messages are taken")  # noqa: B023
                wait_until(lambda: length(exporter.scrape()) is not None, "the length is shown again")
            stop.touch()
            assert publisher.wait(30) == 0
        finally:
            publisher.kill()
            publisher.wait()
        seen, waiting = told(book), node.queues()["letters"]["messages_ready"]
        assert seen["more"] == 0, "the publisher has more threads than after its first message"
        counted = [receiver.latest(f"celery.task.{name}", task_name="post.send") for name in COUNTED]
        assert counted == [seen["taken"], seen["refused"], seen["taken"] + seen["refused"]]
        assert seen["refused"] >= ROUNDS
        wait_until(lambda: length(exporter.scrape()) == waiting, f"the exporter shows {waiting}")
        assert exporter.scrape().value("otel_celery_queue_refresh_failures_total") >= ROUNDS
        after = resources(exporter.process.pid)
        assert after[0] == before[0]
        assert after[1] <= before[1] + 1
        assert exporter.stop() == 0
        assert "Traceback" not in exporter.log


def told(book: Path) -> dict[str, int]:
    """Read what the publisher wrote down."""
    read: dict[str, int] = json.loads(book.read_text())
    return read
