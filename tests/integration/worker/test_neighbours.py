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


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("ends", ["first", "second"])
def test_f69_children_of_two_workers_at_once(redis_url: str, method: str, ends: str) -> None:
    """Also what their successors and their own forks record, and when one of the workers has ended."""
    told = tell(f"the {ends} ends first", redis_url, T_START_METHOD=method)
    last = [None, 25] if ends == "first" else [119, None]
    assert told["told"] == [[[3, 5]] * 2, [[10, 16]] * 2, [110, 16], last]
    assert told["relay"] is None
