"""`otel-celery pools up`, with real workers on a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from tests.integration.pools.fleet import LEFT_ALONE, otel_celery, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.pools.conftest import Yard

READY = r"\w+@localhost ready\."


def status(yard: Yard) -> tuple[int, str]:
    """Ask for the table."""
    command = otel_celery("pools", "status", "--file", str(yard.file))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def ready(yard: Yard, port: int) -> int:
    """Probe one worker."""
    command = otel_celery("probe", "ready", "--host", "localhost", "--port", str(port))
    return subprocess.run(command, cwd=yard.directory, capture_output=True, check=False).returncode


def mark_says(mark: Path, word: str) -> bool:
    """Read a task's mark."""
    return mark.exists() and mark.read_text() == word


def test_the_pools_come_up_and_say_so(yard: Yard) -> None:
    """Every worker opens its port, the table shows them all, a probe finds them ready; SIGTERM ends them with 0."""
    with yard.up() as fleet:
        fleet.wait_for(READY, 2)
        for name, port in zip(("one", "two"), yard.ports, strict=True):
            sentence = f"Prometheus metrics server started on port {port} for worker {name}@localhost"
            assert len(fleet.wait_for(rf"\d\d:\d\d:\d\d {name} \| .*{sentence}")) == 1
        until(lambda: status(yard)[0] == 0, "all up", fleet.said, 10)
        assert status(yard)[1].count("yes") == 2
        assert ready(yard, yard.ports[0]) == 0
        fleet.process.terminate()
        assert fleet.end() == 0
        fleet.gone()
        code, table = status(yard)
        assert (code, table.count("down"), ready(yard, yard.ports[0])) == (1, 2, 1)


def test_a_killed_worker_is_started_again(yard: Yard) -> None:
    """The death is said, the other pool lives on, and the port is open again although a task was running."""
    with yard.up() as fleet:
        fleet.wait_for(READY, 2)
        (pid,) = fleet.wait_for(r"one \| one started, process (\d+)")
        mark = yard.nap(30)
        until(lambda: mark_says(mark, "begun"), "the task runs", fleet.said, 10)
        os.kill(int(pid), signal.SIGKILL)
        fleet.wait_for(r"one died \(killed by SIGKILL\): starting it again in 1 s")
        fleet.wait_for(f"metrics server started on port {yard.ports[0]} ", 2)
        fleet.wait_for(READY, 3)
        until(lambda: status(yard)[0] == 0, "all up", fleet.said, 10)
        assert "two died" not in fleet.said()
        fleet.process.terminate()
        assert fleet.end() == 0
        fleet.gone()


def test_one_sigterm_lets_the_running_task_finish(yard: Yard) -> None:
    """A warm shutdown: status 0, the task went through, no process is left."""
    with yard.up("one") as fleet:
        fleet.wait_for(READY)
        mark = yard.nap(2)
        until(lambda: mark_says(mark, "begun"), "the task runs", fleet.said, 10)
        fleet.process.terminate()
        assert fleet.end() == 0
        assert mark_says(mark, "through")
        fleet.gone()


def test_a_second_sigterm_cuts_the_running_task_off(yard: Yard) -> None:
    """A cold shutdown: soon over, status 1, the task did not go through, no process is left."""
    with yard.up("one") as fleet:
        fleet.wait_for(READY)
        mark = yard.nap(60)
        until(lambda: mark_says(mark, "begun"), "the task runs", fleet.said, 10)
        fleet.process.terminate()
        fleet.wait_for("Warm shutdown")
        _later(fleet.process, signal.SIGTERM)
        assert fleet.end(20) == 1
        assert "Cold shutdown" in fleet.said()
        assert mark_says(mark, "begun")
        fleet.gone()


def test_pools_end_when_their_runner_is_killed(yard: Yard) -> None:
    """SIGKILL leaves the runner no last word; the workers shut down warmly all the same."""
    with yard.up() as fleet:
        fleet.wait_for(READY, 2)
        fleet.process.kill()
        fleet.end()
        fleet.gone(LEFT_ALONE)


def test_a_pool_whose_app_cannot_be_loaded_is_given_up(yard: Yard) -> None:
    """Nothing to run is status 78, after one try."""
    yard.directory.joinpath("other.toml").write_text(f'[pools.one]\napp = "nosuchapp"\nport = {yard.ports[0]}')
    command = otel_celery("pools", "up", "--file", "other.toml")
    done = subprocess.run(command, cwd=yard.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert done.stdout.count("one started") == 1
    assert "one cannot run as it is configured (exit status 2): not starting it again" in done.stdout


def _later(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Send a signal when it is no echo of the last one any more."""
    import time

    time.sleep(0.5)
    process.send_signal(signum)
