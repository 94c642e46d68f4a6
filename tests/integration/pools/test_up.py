"""`otel-celery pools up`, with real workers on a real broker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from tests.integration.pools.fleet import LEFT_ALONE, Fleet, otel_celery, until

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


def bare(yard: Yard, *arguments: str) -> Fleet:
    """Start `pools up` in the yard's directory, with an environment that names no broker."""
    command = ["env", "-u", "CELERY_BROKER_URL", *otel_celery("pools", "up", *arguments)]
    environ = {"OTEL_PYTHON_CELERY_POOL_TRADING_PORT": str(yard.ports[0]), "TMPDIR": str(yard.directory)}
    return Fleet(command, yard.directory / "bare.out", environ, yard.directory)


def test_without_a_file_and_a_broker_the_pools_have_one_of_their_own(yard: Yard) -> None:
    """It is said, it answers, and it ends with them; nothing is left of it."""
    with bare(yard, "trading") as fleet:
        (url,) = fleet.wait_for(
            r"CELERY_BROKER_URL is not set, and there is no pools.toml: the pools use a broker of their own, (\S+)"
        )
        fleet.wait_for(r"trading@localhost ready\.")
        with Celery(broker=url) as app:
            app.send_task("orders.cancel", queue="trading")
        fleet.wait_for(r"Task orders.cancel\[\S+\] received")
        fleet.process.terminate()
        assert fleet.end() == 0
        fleet.gone()
    assert not list(yard.directory.glob("otel-celery-broker-*"))


def test_a_file_whose_app_has_no_broker_names_the_variable(yard: Yard) -> None:
    """Instead of workers that try to connect for ever; an app that cannot be loaded is told of by its worker."""
    with suppress(OSError), socket.create_connection(("localhost", 5672), timeout=1):
        pytest.skip("a broker answers at Celery's default on this machine")
    (yard.directory / "pools.toml").write_text(f'[pools.one]\napp = "otel_celery.demo.app"\nport = {yard.ports[0]}\n')
    with bare(yard) as fleet:
        assert fleet.end() == 78
        assert fleet.said().endswith(
            "Error: CELERY_BROKER_URL is not set, the app 'otel_celery.demo.app' names no broker itself, and nothing "
            "answers at Celery's default, amqp://localhost:5672\n"
        )
    (yard.directory / "pools.toml").write_text(f'[pools.one]\napp = "no_such_app"\nport = {yard.ports[0]}\n')
    with bare(yard) as fleet:
        assert fleet.end() == 78
        assert "CELERY_BROKER_URL" not in fleet.said()
        assert "no_such_app" in fleet.said()
