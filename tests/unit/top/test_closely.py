"""What a close look says that the screens of test_app.py do not show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_celery.top import closely
from otel_celery.watch.model import State
from tests.unit.top.scenes import TROUBLE

WORKER = TROUBLE.workers[0]


@pytest.mark.parametrize(
    ("state", "url", "beside"),
    [
        (State.NO_BROKER, "http://web1:9101/metrics", ["http://web1:9101/-/runbook"]),
        (State.DRAINING, "https://proxy/web1/metrics", ["https://proxy/web1/-/runbook"]),
        (State.UP, "http://web1:9101/metrics?name[]=a", ["http://web1:9101/-/runbook"]),
        (State.UP, "http://proxy/web1", []),
        (State.AWAY, "http://web1:9101/metrics", []),
        (State.FOREIGN, "http://web1:9101/metrics", []),
    ],
)
def test_the_runbook_is_beside_the_metrics_of_a_worker_that_answers(state: State, url: str, beside: list[str]) -> None:
    """Also where something is wrong with it: its port has the runbook still."""
    why = "" if state is State.UP else "why not"
    view = replace(TROUBLE, workers=(replace(WORKER, url=url, state=state, why=why),))
    told = [line.plain.strip() for line in closely.of_problem(TROUBLE.problems[0], view)]
    assert [line.partition("#")[0] for line in told if "/-/runbook" in line] == beside
