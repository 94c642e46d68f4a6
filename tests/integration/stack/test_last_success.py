"""When a task last succeeded, in each dashboard: a deploy, which ends the gauge of every worker, does not empty it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from otel_celery import catalogue
from otel_celery.record.reference import exported_name
from tests.integration.stack.answers import play, written
from tests.integration.stack.expressions import ONE, of_the_dashboards
from tests.integration.stack.rulebook import PROMTOOLS

if TYPE_CHECKING:
    from pathlib import Path

GAUGE = exported_name(catalogue.LAST_SUCCESS)
SUCCEEDED = {"trading": 100, "batch": 3000}
"""When the task last succeeded in each pool, an hour being shown."""


def test_no_panel_reads_the_gauge() -> None:
    """It is a worker's own, and gone with it."""
    bare = re.compile(rf"(?<!:){GAUGE}\b(?!:)")
    assert [one.place for one in of_the_dashboards() if bare.search(one.text)] == []


@pytest.mark.parametrize("version", PROMTOOLS)
def test_a_new_worker_tells_what_the_one_before_it_did(version: str, tmp_path: Path) -> None:
    """It has run nothing: its pool's last success is shown, and on its own dashboard no other pool's."""
    task, series = {"task_name": ONE["task"]}, []
    for pool, moment in SUCCEEDED.items():
        labels = {"job": "celery", "pool": pool, **task}
        series += [written(f"pool_task:{GAUGE}:max", labels, f"{moment}x240")]
        series += [written("pool_task:celery_task_received:rate5m", labels, "0x240")]
    worker = {"job": "celery", "instance": "new:1", "pool": "trading", "worker": ONE["worker"]}
    series += [written("celery_task_received_total", {**worker, **task, "queue": "orders"}, "_x230 0x10")]
    series += [written("target_worker:celery_worker_up:last_timestamp", worker, "_x230 3500x10")]
    panels = {one.place: one.filled() for one in of_the_dashboards()}
    asked = {
        panels["worker: Its Tasks J"]: {f'{{task_name="{ONE["task"]}"}}': 3500.0},
        panels["task: Last Success A"]: {"{}": 600.0},
        panels["dashboard: Time since the Last Success A"]: {f'{{task_name="{ONE["task"]}"}}': 600.0},
        panels["dashboard: Tasks Now F"]: {
            f'{{pool="{pool}", task_name="{ONE["task"]}"}}': 3600.0 - moment for pool, moment in SUCCEEDED.items()
        },
    }
    assert play(tmp_path, version, series, asked) == ""
