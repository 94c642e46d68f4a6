"""Many processes on few descriptors, other users at the door, and a socket whose file is removed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.relay.facts import call, send, sold, start, wait_for
from tests.integration.worker import proc
from tests.integration.worker.harness import wait_until

FEW = ("sh", "-c", 'ulimit -n 128; exec "$@"', "sh", sys.executable, "-m", "celery")

HELPERS = 110

FLOOD = """
import socket, sys
print("begun", flush=True)
while True:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect("\\0" + sys.argv[1])
    except OSError:
        pass
    connection.close()
"""


def sockets_of(worker) -> int:
    """Count the sockets that the main process holds."""
    return sum(name.startswith("socket:") for name in proc.descriptors(worker.process.pid))


@pytest.mark.prefork
def test_f78_more_processes_than_descriptors(site, tmp_path) -> None:
    """110 helpers of a task each record, on 128 descriptors: all is counted, and taken back when they are gone."""
    worker = start(site, concurrency=2, launcher=FEW, arguments=("--max-tasks-per-child", "1"))
    release = tmp_path / "release"
    bare = sockets_of(worker)
    pids = call(site, "shop.helpers", number=HELPERS, release=str(release))
    try:
        wait_for(worker, {"shop_orders_total": HELPERS, "shop_stock": HELPERS}, 60)
        assert sockets_of(worker) - bare <= 128 // 4 + 8
        call(site, "shop.sell")
        wait_for(worker, {"shop_orders_total": HELPERS + 1, "shop_stock": HELPERS})
        release.touch()
        scrape = wait_for(worker, {"shop_orders_total": 2 * HELPERS + 1, "shop_stock": 0}, 60)
        assert scrape.value("shop_orders_total", shop="helper") == HELPERS
        assert scrape.value("shop_orders_total", shop="released") == HELPERS
        assert scrape.value("otel_celery_relay_dropped_total") == 0
        assert scrape.value("otel_celery_internal_errors_total") == 0
    finally:
        proc.kill(pids)
    assert "Too many open files" not in worker.log
    assert worker.stop() == 0


@contextmanager
def flooded(worker, user: int, number: int = 4):
    """Have this user's processes connect to the relay without a pause, and close."""
    name = re.search(r"@(otel-celery-%d-\w+)" % worker.process.pid, Path("/proc/net/unix").read_text())  # noqa: UP031
    assert name is not None
    as_user = () if user == os.geteuid() else ("setpriv", f"--reuid={user}", "--clear-groups")
    command = [*as_user, sys.executable, "-c", FLOOD, name[1]]
    floods = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/") for _ in range(number)]
    try:
        for flood in floods:
            assert flood.stdout is not None
            assert flood.stdout.readline() == b"begun\n"
        yield
        assert [flood.poll() for flood in floods] == [None] * number
    finally:
        for flood in floods:
            flood.kill()
            flood.communicate()


TASKS = 60
"""Enough forks for a flood to find one each time, at some twenty a second."""


def paces(site, worker, already: int) -> tuple[float, float]:
    """Measure the slowest of twenty answers of the port while TASKS tasks run, each in a child of its own."""
    begun, slowest = time.monotonic(), 0.0
    send(site, TASKS)
    for _ in range(20):
        asked = time.monotonic()
        assert worker.get("/-/healthy")[0] == 200
        slowest = max(slowest, time.monotonic() - asked)
    wait_until(lambda: sold(worker) == already + TASKS, "the tasks ran", 100)
    return slowest, time.monotonic() - begun


@pytest.mark.alone
@pytest.mark.prefork
@pytest.mark.timeout(300)
@pytest.mark.parametrize("user", [65534, os.geteuid()], ids=["another", "same"])
def test_f79_a_user_floods_the_relay(site, user: int) -> None:
    """The port answers, children are forked and what they record arrives, at a pace that is not another."""
    if os.geteuid() not in {0, user}:
        pytest.skip("only root can be another user")
    worker = start(site, concurrency=4, arguments=("--max-tasks-per-child", "1"))
    quiet = paces(site, worker, 0)
    wait_for(worker, {"shop_orders_total": TASKS})
    with flooded(worker, user):
        loud = paces(site, worker, TASKS)
        wait_for(worker, {"shop_orders_total": 2 * TASKS})
    sys.stderr.write(
        f"healthy {quiet[0]:.3f} s, flooded {loud[0]:.3f}; {TASKS} tasks {quiet[1]:.1f} s, flooded {loud[1]:.1f}\n"
    )
    assert loud[1] < 3 * quiet[1] + 1
    assert loud[0] < quiet[1]
    assert worker.log.count("is refused by its relay") == (user != os.geteuid())
    assert "a fork waited" not in worker.log.lower()
    assert worker.stop() == 0


@pytest.mark.prefork
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every test has a file")
def test_a_socket_whose_file_is_removed_is_made_again(site, tmp_path) -> None:
    """A cleaner of the temporary directory costs nothing: it is said once, and later children are heard."""
    (tmp_path / "tmp").mkdir()
    environment = {"T_FILE": "1", "TMPDIR": str(tmp_path / "tmp")}
    worker = start(site, concurrency=1, environment=environment, arguments=("--max-tasks-per-child", "1"))
    call(site, "shop.sell")
    wait_for(worker, {"shop_orders_total": 1})
    for number in (2, 3):
        (directory,) = (tmp_path / "tmp").glob("otel-celery-*")
        shutil.rmtree(directory)
        wait_until(lambda: worker.log.count("was removed, and is made again") == number - 1, "it is said")  # noqa: B023
        call(site, "shop.sell")
        wait_for(worker, {"shop_orders_total": number})
    assert worker.scrape().value("otel_celery_internal_errors_total") == 0
    assert worker.stop() == 0
    assert list((tmp_path / "tmp").glob("otel-celery-*")) == []


@pytest.mark.prefork
@pytest.mark.parametrize("action", ["default", "error"])
def test_no_fork_is_warned_of(site, action) -> None:
    """Python 3.12 and later warn of forks beside threads: ours are no reason, in the main process and in a child."""
    environment = {"PYTHONWARNINGS": f"{action}:This process:DeprecationWarning"}
    worker = start(site, concurrency=2, environment=environment, arguments=("--max-tasks-per-child", "2"))
    for _ in range(3):
        call(site, "shop.fork", number=1)
        call(site, "shop.sell")
    wait_for(worker, {"shop_orders_total": 3 * 5})
    assert "multi-threaded" not in worker.log
    assert worker.stop() == 0
