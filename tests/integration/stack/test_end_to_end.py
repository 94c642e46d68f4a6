"""From a worker's death to the message on somebody's webhook: real workers, Prometheus, Alertmanager, and a webhook.

The committed files run, with free ports and with time at thirty times its pace (`intervals`): a minute is two
seconds. Of the five pools of prometheus.yml three run: trading, market and general.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from tests import services
from tests.integration.stack.intervals import hastened, quickened
from tests.integration.stack.servers import FreePorts, Server, copied, start_alertmanager, start_prometheus, wait_until
from tests.integration.stack.webhook import PATIENCE, Webhook, answered
from tests.integration.worker.harness import Worker, start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.xdist_group("end_to_end"), pytest.mark.timeout(240)]

TIMES = 30
RULES = ("rules.yml", "alerts.yml", "expectations.yml")


@dataclass
class Scene:
    """What runs."""

    directory: Path
    broker: str
    ports: FreePorts
    stack: ExitStack
    webhook: Webhook
    workers: dict[str, Worker] = field(default_factory=dict)

    def start(self, pool: str, port: int, kind: str = "threads") -> None:
        """Start a pool's worker on the port that stands for the documented one."""
        environment = {"T_BROKER": self.broker, "PROMETHEUS_PORT": str(self.ports[port])}
        queue = ("-Q", pool)
        worker = start_worker(self.directory, pool=kind, environment=environment, arguments=queue, name=pool)
        worker.port = self.ports[port]
        self.workers[pool] = worker
        self.stack.callback(end, worker)


def end(worker: Worker) -> None:
    """End a worker at once, whatever it is doing."""
    if worker.process.poll() is None:
        worker.process.kill()
    worker.process.wait()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Start the pools, give two of them trouble, and then start what watches them."""
    directory = tmp_path_factory.mktemp("end-to-end")
    with ExitStack() as stack:
        broker = stack.enter_context(services.redis_server())
        scene = Scene(directory, broker, FreePorts(), stack, stack.enter_context(answered()))
        scene.start("trading", 9101, "prefork")
        scene.start("market", 9104)
        scene.start("general", 9105)
        for worker in scene.workers.values():
            wait_until(worker.is_ready, f"{worker.name} is ready", PATIENCE)
        stack.enter_context(troubled(broker))
        prometheus = watched(scene)
        prometheus.wait_for("count(celery_worker_up == 1) == 3", "the three workers are known")
        yield scene


@contextmanager
def troubled(broker: str) -> Iterator[None]:
    """Fill both slots of the pool general for good, and have a task fail in the pool market thrice a second."""
    over = threading.Event()

    def fail() -> None:
        while not over.wait(0.3):
            client.send_task("proj.fail", queue="market")

    with Celery("client", broker=broker, set_as_current=False) as client:
        for _ in range(6):
            client.send_task("proj.succeed", (600,), queue="general")
        thread = threading.Thread(target=fail, daemon=True)
        thread.start()
        yield
        over.set()
        thread.join()


def watched(scene: Scene) -> Server:
    """Start Alertmanager and Prometheus, with the committed files at another pace."""
    copy = copied(scene.directory / "monitoring", scene.ports)
    for name in (*RULES, "alertmanager.yml"):
        (copy / name).write_text(quickened((copy / name).read_text(), TIMES))
    routes = scene.webhook.in_place_of_receivers((copy / "alertmanager.yml").read_text())
    manager = start_alertmanager(routes, scene.directory, port=scene.ports[9093])
    scene.stack.enter_context(manager)
    config = copy / "prometheus.yml"
    config.write_text(hastened(config.read_text(), "1s"))
    prometheus = start_prometheus(config, scene.directory, port=scene.ports[9090])
    return scene.stack.enter_context(prometheus)


def test_a_dead_worker_is_named_until_it_is_back(scene: Scene) -> None:
    """SIGKILL of a pool's main process: CeleryWorkerDown names the worker, and resolves when the pool is back."""
    before = len(scene.webhook.alerts)
    scene.workers["trading"].process.kill()
    scene.workers["trading"].process.wait()
    down = {"alertname": "CeleryWorkerDown", "worker": "trading@localhost", "pool": "trading"}
    alert = scene.webhook.told("firing", before, **down)
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["summary"] == "Celery worker trading@localhost is down"
    assert alert["annotations"]["runbook_url"].endswith("RUNBOOK.md#celeryworkerdown")
    scene.start("trading", 9101, "prefork")
    resolved = scene.webhook.told("resolved", before, **down)
    assert resolved["labels"] == alert["labels"]


def test_a_pool_that_was_never_there_is_named(scene: Scene) -> None:
    """The pool pipeline has a target, and never had a worker: CeleryWorkerDown names the pool instead."""
    alert = scene.webhook.told("firing", alertname="CeleryWorkerDown", pool="pipeline")
    assert alert["annotations"]["summary"] == "Celery worker pipeline (never seen) is down"


def test_a_failing_task_is_named(scene: Scene) -> None:
    """HighTaskFailureRate names the task, and where it fails."""
    alert = scene.webhook.told("firing", alertname="HighTaskFailureRate", task_name="proj.fail")
    assert alert["annotations"]["summary"] == "High failure rate for proj.fail"
    assert alert["labels"]["worker"] == "market@localhost"
    assert alert["labels"]["queue"] == "market"


def test_a_pool_that_hangs_is_named(scene: Scene) -> None:
    """CeleryPoolHung names the pool whose slots are all taken by what does not end, while others wait."""
    alert = scene.webhook.told("firing", alertname="CeleryPoolHung", pool="general")
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["summary"] == "Every slot of pool general hangs"
    assert alert["annotations"]["description"].startswith("All 2 slots of pool general")
