"""A broker that is killed and started again while a publisher runs, and the exporter."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import rabbitmq
from tests.integration.queues.office import MODULE, Office, RabbitMQ, Redis
from tests.integration.worker.harness import ROOT, wait_until
from tests.otlp import http_receiver
from tests.services import MortalRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.worker.harness import Scrape, Worker
    from tests.otlp import Receiver

ROUNDS = 3
CLASSIC = {"T_QUEUE_TYPE": "classic"}
"""A quorum queue that RabbitMQ 3.10 has not had for three minutes may be gone after a SIGKILL.

Ra saves its directory of queues that seldom; without it the queue has no leader, and confirms nothing.
"""
COUNTED = ("published", "publish.failures", "publish.duration")


def length(scrape: Scrape) -> float | None:
    """Give the length of the letters' queue, or nothing where none is shown."""
    return scrape.value("celery_queue_length", queue="letters") if scrape.has("celery_queue_length") else None


def resources(pid: int) -> tuple[int, int]:
    """Count a process's threads and descriptors."""
    process = Path("/proc", str(pid))
    return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


@pytest.mark.rabbitmq
@pytest.mark.timeout(240)
def test_a_killed_rabbitmq_leaves_no_old_number_and_no_thread(export: Callable[..., Worker], tmp_path: Path) -> None:
    """While it is away nothing is shown and failures are counted; what the publisher saw is what is counted."""
    with rabbitmq.node() as node, http_receiver() as receiver:
        office = Office(RabbitMQ(node), tmp_path, receiver, [])
        exporter = export("-A", MODULE, **office.environment(**CLASSIC), OTEL_PYTHON_CELERY_QUEUES_INTERVAL="1000")
        with publishing(office, **CLASSIC) as book:
            wait_until(lambda: length(exporter.scrape()), "letters wait")
            before = resources(exporter.process.pid)
            for _ in range(ROUNDS):
                node.kill()
                wait_until(lambda: exporter.get("/-/ready")[0] == 503, "the exporter is not ready")
                assert length(exporter.scrape()) is None
                assert exporter.get("/-/healthy")[0] == 200
                wait_for_more(book, "refused")
                node.start()
                wait_for_more(book, "taken")
                wait_until(lambda: length(exporter.scrape()) is not None, "the length is shown again")
        assert told(book)["threads"] == 0, "the publisher has more threads than after its first message"
        assert told(book)["refused"] >= ROUNDS
        assert counted(receiver) == expected(book)
        (waiting, _) = office.broker.messages("letters")
        wait_until(lambda: length(exporter.scrape()) == waiting, "the exporter shows what waits")
        assert exporter.scrape().value("otel_celery_queue_refresh_failures_total") >= ROUNDS
        after = resources(exporter.process.pid)
        assert after[0] == before[0]
        assert after[1] <= before[1] + 1
        assert exporter.stop() == 0
        assert "Traceback" not in exporter.log


@pytest.mark.timeout(240)
def test_a_killed_redis_costs_a_publisher_what_it_was_refused(tmp_path: Path) -> None:
    """Nothing counts as published while it is away; no message that counts is lost, nor a thread or socket left."""
    with closing(MortalRedis(tmp_path)) as server, http_receiver() as receiver:
        server.start()
        office = Office(Redis(server.url), tmp_path, receiver, [])
        with publishing(office, OTEL_METRIC_EXPORT_INTERVAL="200") as book:
            wait_for_more(book, "taken")
            for _ in range(ROUNDS):
                server.kill()
                wait_for_more(book, "refused")
                taken = told(book)["taken"]
                wait_until(lambda: counted(receiver)[1] == told(book)["refused"], "the refusals are pushed")
                assert counted(receiver)[0] == told(book)["taken"] == taken
                server.start()
                wait_for_more(book, "taken")
        assert told(book)["threads"] == 0, "the publisher has more threads than after its first message"
        assert told(book)["files"] <= 1, "the publisher has more connections open than after its first message"
        assert counted(receiver) == expected(book)
        assert office.broker.messages("letters")[0] >= told(book)["taken"]


@contextmanager
def publishing(office: Office, **more: str) -> Iterator[Path]:
    """Publish in a process of its own; give the book that it keeps, and let it end in order."""
    stop, book = office.directory / "stop", office.directory / "book.json"
    command = [sys.executable, "-m", "tests.integration.queues.steady", str(stop), str(book)]
    publisher = subprocess.Popen(command, cwd=ROOT, env=office.environment(**office.pushing, **more))
    try:
        wait_until(book.exists, "the publisher keeps its book")
        yield book
        stop.touch()
        assert publisher.wait(30) == 0
    finally:
        publisher.kill()
        publisher.wait()


def wait_for_more(book: Path, what: str) -> None:
    """Wait until one more message is taken, or refused."""
    before = told(book)[what]
    wait_until(lambda: told(book)[what] > before, f"more is {what}")


def counted(receiver: Receiver) -> list[float]:
    """Give what the publisher has pushed: its messages that were published, that were not, and both."""
    return [receiver.latest(f"celery.task.{name}", task_name="post.send") for name in COUNTED]


def expected(book: Path) -> list[int]:
    """Give the same as the publisher saw it."""
    seen = told(book)
    return [seen["taken"], seen["refused"], seen["taken"] + seen["refused"]]


def told(book: Path) -> dict[str, int]:
    """Read what the publisher wrote down."""
    read: dict[str, int] = json.loads(book.read_text())
    return read
