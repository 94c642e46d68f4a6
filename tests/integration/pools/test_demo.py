"""The demo: five pools at work, a table, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from tests.integration.pools.fleet import LEFT_ALONE, Fleet, otel_celery
from tests.services import free_port

if TYPE_CHECKING:
    from tests.integration.pools.conftest import Yard

pytestmark = pytest.mark.xdist_group("demo")  # one at a time: each is some fifteen processes

POOLS = ("TRADING", "PIPELINE", "ALLOCATION", "MARKET", "GENERAL")
NOBODY = "redis://127.0.0.1:1/0"
"""A broker at which nothing listens."""


WITHIN = 5.0
"""Seconds within which a demo that was told to stop is over, as the README promises."""


def seconds(fleet: Fleet) -> float:
    """Read how long the demo took to end, by its own clock."""
    (said,) = re.findall(r"^Stopped after (\d+\.\d) s", fleet.said(), re.MULTILINE)
    return float(said)


@pytest.fixture
def ports() -> dict[str, str]:
    """Choose ports that are free, by the variables that the demo reads."""
    return {f"OTEL_PYTHON_CELERY_POOL_{pool}_PORT": str(free_port()) for pool in POOLS}


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
def test_the_demo_shows_its_pools_at_work(tmp_path: Path, ports: dict[str, str], how: str) -> None:
    """With a broker of its own: five URLs, five pools up with tasks received, and a clean end.

    Ctrl-C reaches every process of the terminal's group, the workers among them, at once. The brokers of the user's
    shell, which Celery prefers to what an app says, get nothing.
    """
    theirs = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_BROKER_READ_URL"), NOBODY)
    environ = {**ports, **theirs, "CELERY_RESULT_BACKEND": NOBODY, "TMPDIR": str(tmp_path)}
    with Fleet(otel_celery("demo"), tmp_path / "out", environ) as fleet:
        for port in ports.values():
            fleet.wait_for(f"http://localhost:{port}/metrics")
        fleet.wait_for(r"trading .*│ +yes │ +\d/2 │ +[1-9]\d* ")
        if how == "SIGTERM":
            fleet.process.terminate()
        else:
            os.killpg(fleet.process.pid, signal.SIGINT)
        fleet.wait_for(r"Stopping: tasks have 2\.5 s to finish; Ctrl-C once more cuts them off now\.")
        assert fleet.end() == 0
        fleet.gone()
        assert seconds(fleet) <= WITHIN
        assert not list(tmp_path.glob("otel-celery-*"))


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_the_demo_runs_on_a_broker_of_the_users(
    request: pytest.FixtureRequest, yard: Yard, ports: dict[str, str], kind: str
) -> None:
    """Its own broker is not started then; --seconds ends it by itself."""
    broker = yard.broker if kind == "redis" else request.getfixturevalue("rabbitmq_url")
    command = otel_celery("demo", "--broker", broker, "--seconds", "25")
    with Fleet(command, yard.directory / "out", {**ports, "TMPDIR": str(yard.directory)}) as fleet:
        fleet.wait_for(r"trading .*│ +yes │ +\d/2 │ +[1-9]\d* ")
        assert fleet.end() == 0
        fleet.gone()
        assert seconds(fleet) <= WITHIN
        assert f"Broker: {broker.replace('guest:guest@', '***@')}" in fleet.said()
        again = "with the same BROKER" if "@" in broker else f"BROKER={broker}"
        assert f"make monitoring {again}\n" in fleet.said()
        assert not list(yard.directory.glob("otel-celery-*"))


@pytest.mark.parametrize("dies", [True, False], ids=["its-broker-dies", "no-broker"])
def test_a_demo_without_a_broker_goes_on(tmp_path: Path, ports: dict[str, str], dies: bool) -> None:  # noqa: FBT001
    """What is not taken is counted, with the reason, and the end is that of any other demo."""
    command = otel_celery("demo", *(() if dies else ("--broker", f"redis://127.0.0.1:{free_port()}/0")))
    with Fleet(command, tmp_path / "out", {**ports, "TMPDIR": str(tmp_path)}) as fleet:
        if dies:
            fleet.wait_for(r"trading .*│ +yes │ +\d/2 │ +[1-9]\d* ")
            (url,) = re.findall(r"Broker: (redis://\S+)", fleet.said())
            with redis.Redis.from_url(url) as client:
                client.shutdown(nosave=True, now=True)
        fleet.wait_for(r"[1-9]\d* not taken by the broker \(OperationalError\)")
        fleet.process.terminate()
        fleet.end()
        fleet.gone()
        assert "Traceback" not in fleet.said()
        assert seconds(fleet) <= WITHIN
        (log,) = re.findall(r"Stopped .*\. The workers' log stays in (\S+)", fleet.said())
        assert "trading started" in Path(log).read_text(encoding="utf-8")


def test_a_killed_demo_leaves_nothing_behind(tmp_path: Path, ports: dict[str, str]) -> None:
    """SIGKILL leaves it no last word; the broker and the workers end all the same."""
    with Fleet(otel_celery("demo"), tmp_path / "out", {**ports, "TMPDIR": str(tmp_path)}) as fleet:
        fleet.wait_for(r"trading .*│ +yes ")
        fleet.process.kill()
        fleet.end()
        fleet.gone(LEFT_ALONE)
