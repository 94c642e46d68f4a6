"""The templated unit: systemd's own checker accepts it, and what it starts is a worker that drains when stopped."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from otel_celery.pools import keeper, plan
from tests.integration.pools.fleet import Fleet, until
from tests.integration.stack import systemd_files
from tests.services import free_port, require

if TYPE_CHECKING:
    from collections.abc import Callable

POOLS = plan.read(plan.EXAMPLE)
EXPOSURE = "20"
"""What `systemd-analyze security` may find at most, in tenths; below 50 it says OK."""


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run systemd-analyze on the unit's text, as an instance of it whose program exists here."""
    program = require(shutil.which("systemd-analyze"), "systemd-analyze is not installed: apt-get install systemd")
    celery = Path(sys.executable).with_name("celery")

    def run(*arguments: str, text: str = systemd_files.UNIT.read_text()) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "celery-pool@trading.service"
        file.write_text(text.replace(systemd_files.CELERY, str(celery)))
        command = [program, *arguments, str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_systemd_verifies_the_unit(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`systemd-analyze verify` has nothing to say, neither an error nor a warning."""
    answer = analyze("verify", "--man=no")
    assert (answer.returncode, answer.stdout + answer.stderr) == (0, "")


def test_systemd_would_say_what_is_wrong(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A key that systemd does not know, and a value that it cannot read, are said."""
    text = systemd_files.UNIT.read_text().replace("OOMPolicy=continue", "OOMPolicy=go-on\nOOMPolise=continue")
    answer = analyze("verify", "--man=no", text=text)
    assert "OOMPolise" in answer.stderr
    assert "go-on" in answer.stderr


def test_the_unit_is_hardened(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """`systemd-analyze security` rates the unit well; without the hardening it would not."""
    assert analyze("security", "--offline=true", f"--threshold={EXPOSURE}").returncode == 0
    text = "\n".join(
        line for line in systemd_files.UNIT.read_text().splitlines() if not line.startswith(("Protect", "System"))
    )
    assert analyze("security", "--offline=true", f"--threshold={EXPOSURE}", text=text).returncode == 1


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
def test_the_examples_are_the_documented_pools(pool: plan.Pool) -> None:
    """Each pool's environment file has the port, the queues and the concurrency of the pools file's example."""
    environ = systemd_files.environment(pool.name)
    assert environ["PROMETHEUS_PORT"] == str(pool.port)
    assert environ["PROMETHEUS_ENABLED"] == "true"
    line = systemd_files.command(pool.name, environ)
    assert {f"--queues={','.join(pool.queues)}", f"--concurrency={pool.concurrency}", f"--hostname={pool.name}@%h"} <= {
        *line
    }
    assert "" not in line


def test_what_is_hopeless_is_not_started_again() -> None:
    """The unit and `otel-celery pools up` give up on the same exit statuses."""
    (statuses,) = systemd_files.values("RestartPreventExitStatus")
    assert {int(status) for status in statuses.split()} == keeper.HOPELESS


def test_the_unit_starts_a_worker_that_drains(tmp_path: Path, redis_url: str) -> None:
    """ExecStart with its environment files serves the port; SIGTERM to the main process lets the task finish.

    What is wrong with the environment is in the journal, once, though it is read before logging is set up.
    """
    assert systemd_files.values("KillMode") == ["mixed"]
    assert systemd_files.values("KillSignal") == ["SIGTERM"]
    port, queue, mark = free_port(), tmp_path.name, tmp_path / "mark"
    environ = systemd_files.environment("trading") | {
        "CELERY_APP": "tiny",
        "CELERY_BROKER_URL": redis_url,
        "CELERY_QUEUES": queue,
        "CELERY_CONCURRENCY": "2",
        "CELERY_OPTIONS": "--prefetch-multiplier=1 --without-mingle",
        "PROMETHEUS_PORT": str(port),
        "PROMETHUES_ENABLED": "true",
    }
    program, *arguments = systemd_files.command("trading", environ)
    assert program == systemd_files.CELERY
    with Fleet([sys.executable, "-m", "celery", *arguments], tmp_path / "out", environ) as fleet:
        fleet.wait_for(f"metrics server started on port {port} for worker trading@")
        fleet.wait_for(r"trading@\S+ ready\.")
        assert fleet.said().count("PROMETHUES_ENABLED is not a setting of otel-celery and was ignored") == 1
        with Celery(broker=redis_url) as app:
            app.send_task("tiny.nap", (2, str(mark)), queue=queue)
        until(mark.exists, "the task has begun", fleet.said, 40)
        fleet.process.terminate()
        assert fleet.end() == 0
        assert mark.read_text() == "through"
        fleet.gone()
