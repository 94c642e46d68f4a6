"""No panel draws more than can be read, however many workers, tasks, queues and pools there are."""

from __future__ import annotations

import time
from collections import Counter
from itertools import product
from typing import TYPE_CHECKING

import pytest

from devops.monitoring.dashboard.promql import FOREIGN, JOBS
from otel_celery import catalogue
from otel_celery.catalogue import Kind, Metric
from otel_celery.record.reference import exported_name
from tests.integration.stack.expressions import BOARDS, board, of_the_dashboards
from tests.integration.stack.history import remembered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.stack.servers import Server

pytestmark = [pytest.mark.xdist_group("queries"), pytest.mark.timeout(240)]

CROWD = 40
"""How many there are of each thing that users name."""
LINES, ROWS = 30, 100
"""What a panel draws at most, and a table lists, when nothing is chosen."""
STEP, STEPS = 15, 40

WORDS: Mapping[str, tuple[str, ...]] = {
    "status": ("success", "failure", "retry"),
    "reason": ("killed", "recycled"),
    "limit": ("soft", "hard"),
    "what": ("queue",),
    "where": ("ended",),
    "pool_kind": ("prefork",),
    "concurrency": ("2",),
    "celery_version": ("5.7.0",),
    "otel_celery_version": ("0.1.0",),
    "le": ("1.0", "+Inf"),
}
"""Labels whose values we choose, and some of them. Users name the others, and an exception's class is their code's."""

OF_TARGETS = {
    "up": Kind.GAUGE,
    "scrape_duration_seconds": Kind.GAUGE,
    "scrape_samples_post_metric_relabeling": Kind.GAUGE,
    "process_cpu_seconds_total": Kind.COUNTER,
    "process_resident_memory_bytes": Kind.GAUGE,
    "process_open_fds": Kind.GAUGE,
    "process_max_fds": Kind.GAUGE,
    "process_start_time_seconds": Kind.GAUGE,
}
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
    for name, labels, kind in _series():
        written = ",".join(f'{label}="{value}"' for label, value in labels.items())
        level = now - 60 if "time_seconds" in name or "timestamp" in name else int("draining" not in name)
        for step in range(STEPS):
            value = level if kind is Kind.GAUGE else step
            yield f"{name}{{{written}}} {value} {now - (STEPS - 1 - step) * STEP:.3f}"


def _series() -> Iterator[tuple[str, dict[str, str], Kind]]:
    for place in range(CROWD):
        target = _target(place)
        for name, kind in OF_TARGETS.items():
            yield name, target, kind
        for name in (name for name in FOREIGN if name.startswith((*JOBS,))):
            job = JOBS[name.partition("_")[0]]
            where = {"job": job, "instance": f"{job}-{place}:9121", "datname": f"database-{place}"}
            yield name, where, Kind.COUNTER if name.endswith(("_total", "_commit", "_rollback")) else Kind.GAUGE
        for metric in catalogue.METRICS:
            for labels in _labels(metric, place):
                for name, more in _parts(metric):
                    yield name, {**labels, **more}, metric.kind


def _target(place: int) -> dict[str, str]:
    return {"job": "celery", "instance": f"host-{place}:9101", "pool": f"pool-{place}"}


def _labels(metric: Metric, place: int) -> Iterator[dict[str, str]]:
    """Name the worker, task and so on of this place; and beside it this task on the first worker, and the reverse."""
    named = [label for label in metric.attributes if label not in WORDS]
    chosen = [{label: f"{label}-{place}" for label in named}]
    if place and {"worker", "task_name"} <= {*named}:
        chosen += [{**chosen[0], label: f"{label}-0"} for label in ("worker", "task_name")]
    words = [label for label in metric.attributes if label in WORDS]
    for names, values in product(chosen, product(*(WORDS[label] for label in words))):
        target = _target(0 if names.get("worker") == "worker-0" else place)
        yield {**target, **names, **dict(zip(words, values, strict=True))}


def _parts(metric: Metric) -> Iterator[tuple[str, dict[str, str]]]:
    name = exported_name(metric)
    if metric.kind is not Kind.HISTOGRAM:
        yield name, {}
        return
    yield from ((f"{name}_bucket", {"le": bound}) for bound in WORDS["le"])
    yield from ((f"{name}_{part}", {}) for part in ("sum", "count"))
