"""Known traffic through publisher, queues, workers that come and go, and beat: every figure is what really happened."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import redis

from tests import rabbitmq
from tests.integration.queues import post
from tests.integration.worker.conftest import database
from tests.integration.worker.harness import ROOT, Scrape, Worker, wait_until
from tests.otlp import http_receiver
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.otlp import Receiver

MODULE = "tests.integration.queues.post"
LETTERS, MORE, HELD, STAMPS = 40, 25, 5, 3
CONCURRENCY = 2


class Redis:
    """A Redis, and what its own commands say of a queue."""

    def __init__(self, url: str) -> None:
        """Empty it."""
        self.url: str = url
        self.options: dict[str, str] = {}
        self._client = redis.Redis.from_url(url)
        self._client.flushdb()

    def ready(self, queue: str) -> int:
        """Add up the lists of all priorities."""
        steps = (queue, *(f"{queue}\x06\x16{step}" for step in range(1, post.PRIORITIES)))
        return sum(self._client.llen(step) for step in steps)

    def unacknowledged(self, queue: str) -> int:
        """Count the messages of a queue that are kept until they are acknowledged."""
        kept = self._client.hvals("unacked")
        return sum(f'"routing_key": "{queue}"'.encode() in each for each in kept)


class RabbitMQ:
    """A RabbitMQ, and what rabbitmqctl says of a queue."""

    def __init__(self, node: rabbitmq.Node) -> None:
        """Use this node."""
        self.url, self.node = node.url, node
        self.options = {"OTEL_PYTHON_CELERY_QUEUES_MANAGEMENT_URL": node.management}

    def ready(self, queue: str) -> int:
        """Ask for the messages that are ready."""
        return int(self.node.queues()[queue]["messages_ready"])

    def unacknowledged(self, queue: str) -> int:
        """Ask for the messages that consumers hold."""
        return int(self.node.queues()[queue]["messages_unacknowledged"])


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[Redis | RabbitMQ]:
    """Give a broker with nothing in it."""
    if request.param == "redis":
        yield Redis(database(request.getfixturevalue("redis_url"), 6))
        return
    with rabbitmq.node(management=True) as node:
        yield RabbitMQ(node)


@dataclass
class Office:
    """The processes of one app on one broker."""

    broker: Redis | RabbitMQ
    directory: Path
    receiver: Receiver
    processes: list[Worker]

    def environment(self, **more: str) -> Mapping[str, str]:
        """Make the environment of each of them."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PROMETHEUS_"))}
        kind = "redis" if isinstance(self.broker, Redis) else "rabbitmq"
        return {**clean, "PYTHONPATH": str(ROOT), "T_BROKER": self.broker.url, "T_KIND": kind, **more}

    @property
    def pushing(self) -> dict[str, str]:
        """Name the variables with which a process pushes what it counted as it ends."""
        return {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.url}

    def publish(self, count: int, task: str = "post.send", *arguments: str) -> None:
        """Publish a task so many times from a script, which ends."""
        command = [sys.executable, "-m", MODULE, task, str(count), *arguments]
        environment = self.environment(**self.pushing)
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60)

    def published(self, task: str, queue: str) -> float:
        """Add up what the processes that have ended published."""
        pushed = {
            name: self.receiver.latest(f"celery.task.{name}", task_name=task, queue=queue)
            for name in ("published", "publish.duration")
        }
        assert len(set(pushed.values())) == 1, pushed
        return pushed["published"]

    def start(self, *arguments: str, **more: str) -> Worker:
        """Start one of Celery's commands, with a port."""
        name, port = f"{arguments[0]}{len(self.processes)}", free_port()
        environment = self.environment(PROMETHEUS_ENABLED="true", PROMETHEUS_PORT=str(port), **more)
        log = self.directory / f"{name}.log"
        command = [sys.executable, "-m", "celery", "-A", MODULE, *arguments, "-l", "INFO"]
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=self.directory, env=environment, stdout=out, stderr=out)
        started = Worker(name, port, process, log, self.directory / f"{name}.record", dict(environment))
        self.processes.append(started)
        return started

    def worker(self) -> Worker:
        """Start a worker, and wait until it is ready."""
        kept = ("-P", "prefork", "-c", str(CONCURRENCY), "-n", f"w{len(self.processes)}@localhost", "--without-mingle")
        return self.start("worker", *kept, "--without-gossip").wait_ready()


@pytest.fixture
def office(broker: Redis | RabbitMQ, tmp_path: Path) -> Iterator[Office]:
    """Give an app without a process; end those that a test started."""
    with http_receiver() as receiver:
        made = Office(broker, tmp_path, receiver, [])
        yield made
        for each in made.processes:
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait()


def ran(*scrapes: Scrape) -> dict[str, int]:
    """Add up what succeeded, by task, over the workers."""
    names = {name for each in scrapes for name in each.labels("celery_task_succeeded_total", "task_name")}
    counted = {
        name: int(sum(each.value("celery_task_succeeded_total", task_name=name) for each in scrapes)) for name in names
    }
    return {name: count for name, count in counted.items() if count}


@pytest.mark.timeout(240)
def test_every_figure_is_what_the_broker_and_the_tasks_tell(
    office: Office, export: Callable[..., Worker], tmp_path: Path
) -> None:
    """Published, waiting, unacknowledged, run and waited for, with no worker, a full one, a second one, and beat."""
    broker = office.broker
    exporter = export("-A", MODULE, **office.environment(**broker.options), OTEL_PYTHON_CELERY_QUEUES_INTERVAL="1000")

    def shown(queue: str, what: str = "length") -> float | None:
        scrape, name = exporter.scrape(), f"celery_queue_{what}"
        return scrape.value(name, queue=queue) if scrape.has(name, queue=queue) else None

    def agrees(queue: str, ready: int, unacknowledged: int) -> None:
        wanted = [ready, unacknowledged]
        wait_until(lambda: [broker.ready(queue), broker.unacknowledged(queue)] == wanted, f"the broker has {wanted}")
        wait_until(lambda: [shown(queue), shown(queue, "unacked")] == wanted, f"the exporter shows {wanted}")

    # Nobody consumes: everything that was published waits.
    office.publish(LETTERS)
    agrees("letters", LETTERS, 0)
    assert office.published("post.send", "letters") == LETTERS

    # A worker runs all of it, and is full of tasks that do not end: the rest waits, what it holds is unacknowledged.
    first = office.worker()
    wait_until(lambda: ran(first.scrape()) == {"post.send": LETTERS}, "the letters have been sent")
    agrees("letters", 0, 0)
    gate = tmp_path / "gate"
    office.publish(HELD, "post.hold", str(gate))
    wait_until(lambda: first.scrape().value("celery_worker_tasks_active") == CONCURRENCY, "the worker is full")
    holds = broker.unacknowledged("letters")
    assert CONCURRENCY <= holds < HELD
    agrees("letters", HELD - holds, holds)
    gate.touch()
    wait_until(lambda: ran(first.scrape()) == {"post.send": LETTERS, "post.hold": HELD}, "the others have run")
    one = first.settled()
    assert first.stop() == 0

    # It is gone: letters wait again, until a second worker comes; beat sends too.
    office.publish(MORE)
    agrees("letters", MORE, 0)
    second = office.worker()
    beat = office.start("beat", "-s", str(tmp_path / "schedule"), **office.pushing)
    wait_until(lambda: beat.scrape().value("celery_beat_tasks_sent_total") >= STAMPS, f"beat has sent {STAMPS} stamps")
    assert beat.stop() == 0
    sent = int(office.receiver.latest("celery.beat.tasks.sent", task_name="post.stamp"))
    assert office.published("post.stamp", "stamps") == sent >= STAMPS
    wait_until(lambda: ran(second.scrape()) == {"post.send": MORE, "post.stamp": sent}, f"{sent} stamps have run")
    two = second.settled()
    for queue in ("letters", "stamps"):
        agrees(queue, 0, 0)

    assert office.published("post.send", "letters") == LETTERS + MORE
    assert ran(one, two) == {"post.send": LETTERS + MORE, "post.hold": HELD, "post.stamp": sent}
    for scrape in (one, two):
        for name in ("celery_task_received_total", "celery_task_started_total", "celery_task_queue_wait_seconds_count"):
            assert scrape.value(name) == sum(ran(scrape).values()), name
        assert scrape.value("otel_celery_clock_skew_total") == 0
        assert scrape.value("otel_celery_internal_errors_total") == 0
        assert scrape.balances(), scrape.books()
    assert exporter.scrape().value("otel_celery_queue_refresh_failures_total") == 0
