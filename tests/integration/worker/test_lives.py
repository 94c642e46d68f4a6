"""Several workers in one process, one after the other or at once: each has books and a port of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker.conftest import database
from tests.integration.worker.harness import ROOT
from tests.services import free_port

pytestmark = [pytest.mark.solo, pytest.mark.timeout(240)]


def environment(**more: str) -> dict[str, str]:
    """Give an environment in which nothing is asked for but this."""
    ours = ("OTEL_", "PROMETHEUS_")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | {
        "PYTHONPATH": str(ROOT),
        **more,
    }


def tell(story: str, *ports: int, **more: str) -> dict[str, Any]:
    """Have a story happen in a process of its own."""
    script = str(Path(__file__).with_name("lives.py"))
    told = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", script, story, *map(str, ports)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=environment(PROMETHEUS_ENABLED="true", **more),
        cwd=ROOT,
    )
    assert told.returncode == 0, told.stderr[-4000:]
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_f69_workers_one_after_the_other_have_their_own_books(pool: str) -> None:
    """Of the same app, name and port; what their tasks record is each one's own too; nothing is left of any."""
    told = tell("one after the other", free_port(), T_POOL=pool)
    assert told["seen"] == [[1, 1, 1, 1, None], [2, 2, 1, 2, None], [3, 3, 1, 3, None]]
    assert told["gone"]
    assert told["after"] == told["before"]
    assert told["request"] == "celery.worker.request:Request"
    assert len(told["log"]) == 3, told["log"]


@pytest.mark.prefork
def test_f69_workers_of_a_pool_of_processes_one_after_the_other(redis_url: str) -> None:
    """The relay is each one's own as well, and its address is taken back."""
    urls = {"T_BROKER": database(redis_url, 1), "T_BACKEND": database(redis_url, 2)}
    told = tell("one after the other", free_port(), T_POOL="prefork", **urls)
    assert told["seen"] == [[1, 1, 1, 1, None], [2, 2, 1, 2, None], [3, 3, 1, 3, None]]
    assert told["after"]["relay"] is None
    assert told["after"]["threads"] == []
    assert told["after"]["receivers"] == told["before"]["receivers"]


def test_f69_nothing_is_left_however_a_worker_ends() -> None:
    """Neither object, thread, port, socket, handler nor variable; it is counted and served until then."""
    told = tell("ends", free_port())
    unborn = {"never started", "cannot start", "broken"}
    assert told["left"] == {way: [True, True, None if way in unborn else 1] for way in told["left"]}
    assert len(told["left"]) == 7
    assert told["after"] == told["before"]


def test_f69_the_port_stands_until_the_last_task_has_ended() -> None:
    """Celery's ``stop`` may return before the thread that works does."""
    told = tell("drain", free_port())
    assert told["during"]
    assert told["ended"], "the port was closed while the task ran"
    assert told["values"] == [1]


@pytest.mark.parametrize("story", ["one app at once", "two apps at once"])
def test_f69_workers_at_once_count_what_each_of_them_ran(story: str) -> None:
    """The end of the first concerns the second in nothing."""
    told = tell(story, free_port(), free_port())
    ran = {"w0@h": 0, "w1@h": 0} | told["ran"]
    assert sum(ran.values()) == 30
    assert told["said"] == ran
    assert told["first"] is None
    assert told["later"] == {"w1@h": 3}
    assert told["second"] == ran["w1@h"] + 3
    assert told["gone"]
    assert told["after"] == told["before"]


def test_f69_what_waits_in_one_worker_waits_on_when_another_ends() -> None:
    """Celery keeps the waiting requests of all workers in one set, which each empties as its connection goes."""
    told = tell("a neighbour's end", free_port(), free_port(), T_POOL="threads")
    nothing = {"received": 3, "ended": 0, "active": 0, "reserved": 0, "scheduled": 0, "returned": 0}
    waiting, after = nothing | {"active": 1, "reserved": 2}, nothing | {"ended": 3}
    assert told["seen"] == [waiting, waiting, waiting, after]


def test_f69_what_tasks_record_is_the_first_workers_again_when_the_last_has_ended() -> None:
    """An instrument of the SDK has one provider: that of the newest worker that lives."""
    told = tell("beans after a neighbour", free_port(), free_port())
    assert told["seen"] == [1, 2, 4, 2, 7, 17]
    assert told["gone"]
    assert told["after"] == told["before"]


def test_f69_two_workers_want_one_port() -> None:
    """The second says once whose it is and what to do, and has it when the first is gone."""
    port = free_port()
    told = tell("one port", port)
    assert (told["first"], told["came"], told["last"]) == (1, True, None)
    opened, taken, opened_again = told["log"]
    assert opened.endswith(f"on port {port} for worker first@h")
    assert f"port {port} cannot be opened for worker second@h" in taken
    assert "worker first@h of this very process has it; set PROMETHEUS_PORT to another port" in taken
    assert opened_again.endswith(f"on port {port} for worker second@h")


def test_f69_twenty_lives_leave_nothing() -> None:
    """Five generations of four workers, each with an app of its own: every one is collected, and nothing grows."""
    told = tell("twenty", *(free_port() for _ in range(4)))
    assert [gone for gone, _ in told["sizes"]] == [True] * 5
    assert len({objects for _, objects in told["sizes"][1:]}) == 1, told["sizes"]
    assert told["after"] == told["before"]


def test_f69_each_life_has_its_own_spans() -> None:
    """Under its worker's name, those of libraries too; afterwards the process publishes as one that is no worker."""
    told = tell("traces", free_port())
    names = ("apply_async/lives.ok", "inside", "run/lives.ok")
    assert told["seen"] == [[[name, f"w{number}@h"] for name in names] for number in range(3)]
    assert told["after"] == told["before"]
    assert told["last"] == [["apply_async/lives.ok", None]]
    assert len(told["log"]) == 3, told["log"]


# -- the suites of users -----------------------------------------------------------------------------------------------

SUITE = """
import threading

import pytest
from celery import shared_task

import otel_celery


@pytest.fixture(scope="session")
def celery_config():
    return {"broker_url": "memory://", "result_backend": "cache+memory://"}


@pytest.fixture(scope="session")
def celery_session_app(celery_session_app):
    otel_celery.instrument(celery_session_app)
    return celery_session_app


@pytest.fixture
def celery_app(celery_app):
    otel_celery.instrument(celery_app)
    return celery_app


@shared_task
def mul(x, y):
    return x * y


@pytest.mark.parametrize("number", range(3))
def test_worker(celery_app, celery_worker, number, capfd, recwarn):
    celery_worker.reload()
    assert mul.delay(4, number).get(timeout=10) == 4 * number
    ours = [each.name for each in threading.enumerate() if each.name.startswith(("otel", "Otel"))]
    assert ours == THREADS
    assert [str(each.message) for each in recwarn if "otel" in str(each.message)] == []


def test_nothing_is_left():
    assert not [each.name for each in threading.enumerate() if each.name.startswith(("otel", "Otel"))]


def test_session_worker(celery_session_app, celery_session_worker):
    celery_session_worker.reload()
    assert mul.delay(4, 5).get(timeout=10) == 20
"""


@pytest.mark.parametrize("is_on", [False, True], ids=["off", "on"])
def test_f69_a_users_suite_is_clean(tmp_path: Path, is_on: bool) -> None:  # noqa: FBT001  pytest's
    """Celery's own fixtures, with every warning an error: without metrics no thread of ours, with them no word."""
    threads = ["otel-celery-serve"] if is_on else []
    (tmp_path / "test_users.py").write_text(SUITE.replace("THREADS", repr(threads)))
    asked = {"PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": str(free_port())} if is_on else {}
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "celery.contrib.pytest", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "-q", "-rA", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=environment(**asked),
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout[-6000:]
    assert "5 passed" in run.stdout
    assert "WARNING" not in run.stdout.replace("WARNING  kombu", ""), run.stdout
    assert "otel" not in run.stderr
