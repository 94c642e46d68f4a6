"""How a worker is started."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from otel_celery.pools import command
from otel_celery.pools.plan import Pool

POOL = Pool("trading", "shop", 9101, ("trading", "orders"), 8, "threads", "localhost", ("--loglevel=DEBUG",))


def test_the_worker_is_celerys_own_command_with_our_hook() -> None:
    """Everything in the pool's table becomes an option, the extra ones last so that they win."""
    assert " ".join(command.worker(POOL, {}).argv[1:]) == (
        "-m celery -A shop worker -n trading@localhost -Q trading,orders -c 8 -P threads "
        "-I otel_celery.hook -l INFO --loglevel=DEBUG"
    )


def test_the_number_of_slots_is_celerys_choice_where_the_file_does_not_say() -> None:
    """No -c then."""
    assert "-c" not in command.worker(Pool("a", "x", 1, ("a",)), {}).argv


def test_the_worker_serves_on_its_port() -> None:
    """Metrics are on, the port is the pool's, and the rest of the environment is the user's."""
    environ = command.worker(POOL, {"HOME": "/h", "PROMETHEUS_PORT": "1", "PROMETHEUS_ENABLED": ""}).environ
    assert environ == {
        "HOME": "/h",
        "PROMETHEUS_ENABLED": "true",
        "PROMETHEUS_PORT": "9101",
        "PYTHONUNBUFFERED": "1",
    }


def test_a_user_who_switched_the_metrics_off_is_heard() -> None:
    """PROMETHEUS_ENABLED=false and OTEL_SDK_DISABLED=true reach the worker as they are."""
    assert command.worker(POOL, {"PROMETHEUS_ENABLED": "false"}).environ["PROMETHEUS_ENABLED"] == "false"
    assert command.worker(POOL, {"OTEL_SDK_DISABLED": "true"}).environ["OTEL_SDK_DISABLED"] == "true"


def test_a_leashed_command_runs_as_itself() -> None:
    """The leash becomes the command: same arguments, same output, same status."""
    argv = command.leashed((sys.executable, "-c", "print('mine'); raise SystemExit(3)"), signal.SIGTERM)
    done = subprocess.run(argv, capture_output=True, check=False)
    assert (done.stdout, done.returncode) == (b"mine\n", 3)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells children of their parent's death")
def test_a_leashed_command_ends_when_its_parent_is_killed() -> None:
    """SIGKILL leaves the parent no chance to end its children: the kernel does."""
    parent = (
        "import subprocess, os, signal\n"
        "from otel_celery.pools.command import leashed\n"
        "child = subprocess.Popen(leashed(('sh', '-c', 'echo ready; exec sleep 60'), signal.SIGTERM),"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, check=False, timeout=20)
    pid = int(done.stdout)
    assert done.returncode == -signal.SIGKILL
    assert _gone(pid)


def _gone(pid: int) -> bool:
    import time
    from pathlib import Path

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
