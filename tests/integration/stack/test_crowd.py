"""No panel draws more than can be read, however many workers, tasks, queues and pools there are."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from otel_celery.catalogue import Kind
from tests.integration.stack.crowd import crowd
from tests.integration.stack.expressions import BOARDS, board, of_the_dashboards
from tests.integration.stack.history import remembered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stack.servers import Server

pytestmark = [pytest.mark.xdist_group("queries"), pytest.mark.timeout(240)]

CROWD = 40
"""How many there are of each thing that users name."""
LINES, ROWS = 30, 100
"""What a panel draws at most, and a table lists, when nothing is chosen."""
STEP, STEPS = 15, 40

RECORDED = (
    "pool_task:celery_task_duration_seconds:p99_rate5m",
    "pool_task:celery_task_runtime_seconds:p99_rate1d",
    "pool_task:celery_task_last_success_timestamp_seconds:max",
    "pool:celery_task_failed_per_finished:ratio_rate6h",
    "pool:celery_task_failed_per_finished:ratio_rate3d",
    "worker:celery_worker_utilisation:ratio",
    "queue:celery_queue_length:max",
)
"""One of each group of rules that the dashboards read."""

SILENT = {"Firing Alerts", "Firing Alerts in Detail"}
"""What the history has nothing for."""

ONE = {"task": "task_name-0", "worker": "worker-0"}
"""Whom the dashboards of one are about: the first worker has each task, and each worker has the first one."""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a Prometheus that has the crowd's last ten minutes, and records by the committed rules."""
    samples, directory = _history(time.time()), tmp_path_factory.mktemp("crowd")
    with remembered(samples, directory, ("rules.yml",)) as server:
        for name in RECORDED:
            server.wait_for(f"count({name}) >= {CROWD}", f"{name} is recorded")
        yield server


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_draws_more_than_can_be_read(crowded: Server, name: str) -> None:
    """Thirty lines, tiles or bars; a table has a hundred rows, which can be sorted, in each of its columns."""
    kinds = {panel["title"]: panel["type"] for panel in board(name)["panels"]}
    drawn: Counter[str] = Counter()
    for expression in of_the_dashboards(ONE):
        title, _, letter = expression.place.removeprefix(f"{name}: ").rpartition(" ")
        if title in kinds and len(letter) == 1:
            number = len(crowded.query(expression.filled(window="5m")))
            assert kinds[title] != "table" or number <= ROWS, expression.place
            drawn[title] += number
    assert {title: number for title, number in drawn.items() if kinds[title] != "table" and number > LINES} == {}
    assert {title for title, number in drawn.items() if not number} <= SILENT


def test_the_crowd_is_one(crowded: Server) -> None:
    """There is more of everything than a panel draws, so that each panel had something to leave out."""
    for label in ("worker", "pool", "queue", "task_name", "exception"):
        (number,) = crowded.query(f'count(count by ({label}) ({{{label}!=""}}))')
        assert float(number["value"][1]) == CROWD


def _history(now: float) -> Iterator[str]:
    for name, labels, kind in crowd(CROWD):
        written = ",".join(f'{label}="{value}"' for label, value in labels.items())
        level = now - 60 if "time_seconds" in name or "timestamp" in name else int("draining" not in name)
        for step in range(STEPS):
            value = level if kind is Kind.GAUGE else step
            yield f"{name}{{{written}}} {value} {now - (STEPS - 1 - step) * STEP:.3f}"
