"""The processes of one app on one broker, and what the broker's own tool says of a queue."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import redis
from kombu import Connection

from tests.integration.queues import post
from tests.integration.worker.conftest import database
from tests.integration.worker.harness import ROOT, Worker
from tests.otlp import http_receiver
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests import rabbitmq
    from tests.otlp import Receiver

MODULE = "tests.integration.queues.post"
CONCURRENCY = 2


class Redis:
    """A Redis, and what its own commands say of a queue."""

    def __init__(self, url: str) -> None:
        """Empty it."""
        self.url: str = url
        self.options: dict[str, str] = {}
        self._client = redis.Redis.from_url(url)
        self._client.flushdb()

    def messages(self, queue: str) -> list[int]:
        """Count those that wait, in the lists of all priorities, and those that are kept until acknowledged."""
        steps = (queue, *(f"{queue}\x06\x16{step}" for step in range(1, post.PRIORITIES)))
        kept = self._client.hvals("unacked")
        unacknowledged = sum(f'"routing_key": "{queue}"'.encode() in each for each in kept)
        return [sum(self._client.llen(step) for step in steps), unacknowledged]


class RabbitMQ:
    """A RabbitMQ, and what rabbitmqctl says of a queue."""

    def __init__(self, node: rabbitmq.Node) -> None:
        """Use this node, without the queues of an earlier test."""
        self.url, self.node = node.url, node
        with Connection(node.url) as connection, connection.channel() as channel:
            for queue in post.QUEUES:
                channel.queue_delete(queue)
        self.options = {"OTEL_PYTHON_CELERY_QUEUES_MANAGEMENT_URL": node.management}

    def messages(self, queue: str) -> list[int]:
        """Ask, once, for those that are ready and those that consumers hold: each question starts an Erlang machine."""
        asked = self.node.queues()[queue]
        return [int(asked["messages_ready"]), int(asked["messages_unacknowledged"])]


@pytest.fixture(
    params=["redis", pytest.param("rabbitmq", marks=[pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq")])]
)
def broker(request: pytest.FixtureRequest) -> Iterator[Redis | RabbitMQ]:
    """Give a broker with nothing in it."""
    if request.param == "redis":
        yield Redis(database(request.getfixturevalue("redis_url"), 6))
        return
    yield RabbitMQ(request.getfixturevalue("managed"))


@dataclass
class Office:
    """The processes of one app on one broker."""

    broker: Redis | RabbitMQ
    directory: Path
    receiver: Receiver
    processes: list[Worker]

    def environment(self, **more: str) -> dict[str, str]:
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
        started = Worker(name, port, process, log, self.directory / f"{name}.record", environment)
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
