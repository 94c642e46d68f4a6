"""Two workers with processes, at once in one process: what tasks record is shown by the worker that ran them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.worker.conftest import database
from tests.integration.worker.harness import ROOT
from tests.integration.worker.test_lives import environment
from tests.services import free_port

pytestmark = [pytest.mark.prefork, pytest.mark.timeout(240)]


def tell(story: str, redis_url: str, **more: str) -> dict[str, Any]:
    """Have a story happen in a process of its own."""
    urls = {"T_BROKER": "memory://", "T_BACKEND": database(redis_url, 2)}
    told = subprocess.run(
        [sys.executable, "-m", "tests.integration.worker.neighbours", story, str(free_port()), str(free_port())],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=environment(PROMETHEUS_ENABLED="true", **{**urls, **more}),
        cwd=ROOT,
    )
    assert told.returncode == 0, told.stderr[-4000:]
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize(("method", "ends"), [("fork", "first"), ("fork", "second"), ("spawn", "second")])
def test_f69_children_of_two_workers_at_once(redis_url: str, method: str, ends: str) -> None:
    """Also what their successors and their own forks record, and when one of the workers has ended."""
    told = tell(f"the {ends} ends first", redis_url, T_START_METHOD=method)
    last = [None, 25] if ends == "first" else [119, None]
    assert told["told"] == [[[3, 5]] * 2, [[10, 16]] * 2, [110, 16], last]
    assert told["relay"] is None


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_f69_a_provider_that_is_set_when_the_second_worker_is_gone(redis_url: str, method: str) -> None:
    """The end of one takes nothing from the other: a provider that is set late gets its children's metrics."""
    told = tell("a provider set late", redis_url, T_START_METHOD=method)
    assert told == {"told": [6, None], "read": 6}


def test_f69_a_provider_that_two_workers_share_has_the_metrics_of_both(redis_url: str) -> None:
    """Those of the children of the first too, which were gone as soon as there was a second."""
    told = tell("a provider of both", redis_url)
    assert told == {"told": [[8, 8], [None, 10]], "read": 10}


def test_f69_children_beside_a_worker_of_threads(redis_url: str) -> None:
    """Instruments belong to the newest worker in this process, which says nothing of the other's children."""
    told = tell("threads beside", redis_url)
    assert told["told"] == [[3, 5], [3, 5], [6, None]]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_f69_children_are_their_own_workers_whichever_thread_starts_them(redis_url: str, method: str) -> None:
    """Those that are added later, too; of a worker that is uninstrumented nobody shows anything."""
    told = tell("others start children", redis_url, T_START_METHOD=method)
    assert told["told"] == [[4, 0], [3, None]]
