"""Trouble made on purpose on the demo: `top` and `doctor` name each within two of their intervals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from tests.integration.pools.fleet import Fleet, otel_celery, until
from tests.services import MortalRedis, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.xdist_group("demo"),  # one at a time: each is many processes
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc"),
]

POOLS = ("TRADING", "PIPELINE", "ALLOCATION", "MARKET", "GENERAL")
INTERVAL = "1"
"""Seconds between the two looks of either."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[MortalRedis]:
    """Give a broker that can go away."""
    redis = MortalRedis(tmp_path)
    redis.start()
    yield redis
    redis.close()


class Site:
    """The demo, and beside it a pool whose task is a poison, and one that is to be full."""

    def __init__(self, directory: Path, broker: str) -> None:
        """Choose the ports."""
        self.directory, self.broker = directory, broker
        self.ports = {pool: free_port() for pool in (*POOLS, "BAD", "FULL")}

    @contextmanager
    def playing(self) -> Iterator[Fleet]:
        """Run both, until all pools are at work; give the demo."""
        pools = {f"OTEL_PYTHON_CELERY_POOL_{pool}_PORT": str(port) for pool, port in self.ports.items()}
        queues = {"OTEL_PYTHON_CELERY_QUEUES": "true", "OTEL_PYTHON_CELERY_QUEUES_INTERVAL": "1000"}
        environ = {**pools, "CELERY_BROKER_URL": self.broker, "TMPDIR": str(self.directory)}
        demo = otel_celery("demo", "--broker", self.broker)
        with (
            Fleet(demo, self.directory / "demo.out", {**environ, **queues}) as fleet,
            Fleet(self._beside(), self.directory / "beside.out", environ) as beside,
        ):
            beside.wait_for("ready", 2)
            fleet.wait_for(r"(trading|general) .*│ +yes │ +\d/2 │ +[1-9]\d* ", 2)
            yield fleet

    def send(self, name: str, queue: str, number: int, *args: object) -> None:
        """Send a task some times."""
        with Celery(broker=self.broker, set_as_current=False) as app:
            for _ in range(number):
                app.send_task(name, args, queue=queue)

    def count(self, pool: str, series: str) -> float:
        """Read from a pool's port what the series of this beginning add up to."""
        with urllib.request.urlopen(f"http://localhost:{self.ports[pool]}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(series))

    def top(self) -> list[str]:
        """Ask for the problems: alert, and what it is about."""
        found = self._asked("top", "--once")["problems"]
        return [" ".join([each["alert"], *each["subject"].values()]) for each in found]

    def doctor(self) -> list[str]:
        """Ask for the findings: name and sentence."""
        return [f"{each['name']} {each['sentence']}" for each in self._asked("doctor", "-b", self.broker)["findings"]]

    def _asked(self, *words: str) -> Any:
        places = [f"localhost:{port}" for port in self.ports.values()]
        command = otel_celery(*words, "--json", "--interval", INTERVAL, "--timeout", "1", *places)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode in {1, 3}, done.stderr
        return json.loads(done.stdout)

    def _beside(self) -> list[str]:
        file = self.directory / "pools.toml"
        file.write_text(
            "".join(
                f'[pools.{pool}]\napp = "tiny"\nhostname = "localhost"\nconcurrency = {slots}\nqueues = ["{pool}"]\n'
                f"port = {self.ports[pool.upper()]}\n"
                for pool, slots in (("bad", 1), ("full", 2))
            )
        )
        return otel_celery("pools", "up", "--file", str(file))


def main_process(fleet: Fleet, worker: str) -> int:
    """Find a worker's main process: its children are forked later, and have its command line."""
    return min(pid for pid in fleet.alive() if worker in _command(pid))


def _command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")


def test_top_and_doctor_name_five_troubles(tmp_path: Path, broker: MortalRedis) -> None:
    """A poison task, a full pool, a queue that nobody consumes, a dead worker; and then a broker that is away.

    Each is named by the first two looks after it is there.
    """
    site = Site(tmp_path, broker.url)
    with site.playing() as demo:
        site.send("tiny.poison", "bad", 1)
        site.send("orders.place", "tradnig", 12)
        # Tasks that stay: between two short ones a slot is free for a moment, in which a look may fall.
        site.send("tiny.nap", "full", 6, 300, str(tmp_path / "nap"))
        os.kill(main_process(demo, "market@localhost"), signal.SIGSTOP)
        until(lambda: site.count("FULL", "celery_worker_tasks_active{") == 2, "both slots are taken", demo.said, 20)
        until(lambda: site.count("BAD", "celery_task_redelivered_total{") >= 3, "it killed thrice", demo.said, 40)
        top, doctor = site.top(), site.doctor()
        assert names(top, "CeleryPoolSaturated", "full"), top
        assert names(doctor, "WorkerFull", "full@localhost is full (2 of 2) with tasks of tiny.nap"), doctor
        assert names(top, "CeleryPoisonMessage", "tiny.poison"), top
        assert names(top, "CeleryQueueNotConsumed", "tradnig"), top
        assert names(top, "CeleryWorkerDown", str(site.ports["MARKET"])), top
        assert names(doctor, "PoisonMessage", "tiny.poison kills its process"), doctor
        assert names(doctor, "QueueNotConsumed", "tradnig"), doctor
        assert names(doctor, "CeleryWorkerDown", "no answer within 1 s"), doctor
        broker.kill()
        top, doctor = site.top(), site.doctor()
        assert names(top, "CeleryBrokerAway"), top
        assert names(doctor, "BrokerAway", f"the broker {broker.url} does not answer"), doctor


def names(found: list[str], name: str, words: str = "") -> bool:
    """Tell whether a trouble of this name has these words."""
    return any(each.startswith(name) and words in each for each in found)
