"""A pool's line in the table, from its exposition."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from otel_celery.pools.plan import Pool
from otel_celery.pools.status import Status, ask, read
from otel_celery.pools.table import table
from otel_celery.settings.settings import Port
from tests.services import free_port

EXPOSITION = """\
# TYPE celery_worker_up gauge
celery_worker_up{worker="a@h"} 1.0
# TYPE celery_worker_tasks_active gauge
celery_worker_tasks_active{worker="a@h"} 3.0
# TYPE celery_worker_pool_size gauge
celery_worker_pool_size{worker="a@h"} 8.0
# TYPE celery_task_received_total counter
celery_task_received_total{queue="a",task_name="x",worker="a@h"} 90.0
celery_task_received_total{queue="a",task_name="y",worker="a@h"} 12.0
# TYPE celery_task_failed_total counter
celery_task_failed_total{queue="a",task_name="x",worker="a@h"} 2.0
celery_task_failed_total{queue="a",task_name="y",worker="a@h"} 0.0
# TYPE celery_task_duration_seconds histogram
celery_task_duration_seconds_bucket{le="0.1",queue="a",task_name="x"} 80.0
celery_task_duration_seconds_bucket{le="0.2",queue="a",task_name="x"} 80.0
celery_task_duration_seconds_bucket{le="+Inf",queue="a",task_name="x"} 80.0
celery_task_duration_seconds_bucket{le="0.1",queue="a",task_name="y"} 0.0
celery_task_duration_seconds_bucket{le="0.2",queue="a",task_name="y"} 20.0
celery_task_duration_seconds_bucket{le="+Inf",queue="a",task_name="y"} 20.0
celery_task_duration_seconds_count{queue="a",task_name="y"} 20.0
# TYPE process_open_fds gauge
process_open_fds NaN
"""


def test_the_numbers_are_summed_over_tasks_and_queues() -> None:
    """p95 is of all the pool's tasks together: 95 of 100 is three quarters into the second bucket."""
    status = read("a", 9101, EXPOSITION)
    assert status.p95 == pytest.approx(0.175)
    assert replace(status, p95=None) == Status("a", 9101, up=True, active=3, size=8, received=102, failed=2)


def test_a_worker_that_is_not_ready_is_not_up() -> None:
    """The port answers before the worker is ready, and while it is drained."""
    status = read("a", 1, 'celery_worker_up{worker="a@h"} 0.0\n')
    assert (status.up, status.active, status.p95) == (False, 0, None)


def test_a_worker_that_drains_or_has_lost_its_broker_is_told_from_one_that_works() -> None:
    """Both still say that they are up."""
    lost = read("a", 1, EXPOSITION + 'celery_worker_broker_connected{worker="a@h"} 0.0\n')
    drains = read("a", 1, EXPOSITION + 'celery_worker_draining{worker="a@h"} 1.0\n')
    assert [(one.up, one.draining, one.connected) for one in (lost, drains)] == [
        (True, False, False),
        (True, True, True),
    ]


def test_somebody_elses_exposition_is_a_pool_that_is_down() -> None:
    """A port that another program took says nothing of the pool."""
    assert read("a", 1, "process_open_fds 3.0\n") == Status("a", 1)


def test_a_port_that_nobody_answers_is_a_pool_that_is_down() -> None:
    """No error: a line in the table."""
    port = free_port()
    assert ask([Pool("a", "app", port, ("a",))], Port(host="127.0.0.1"), 1.0) == [Status("a", port)]


def test_the_table_shows_a_line_a_pool() -> None:
    """Counts as they are, durations in a unit that fits, a dash for what is not known."""
    statuses = [read("a", 9101, EXPOSITION), Status("slow", 9102, up=True, active=0, size=2, p95=2.25), Status("c", 3)]
    statuses += [Status("d", 4, up=True, draining=True), Status("e", 5, up=True, connected=False)]
    out = io.StringIO()
    Console(file=out, width=100).print(table(statuses))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.getvalue().splitlines()[3:-1]]
    assert lines == [
        ["a", "9101", "yes", "3/8", "102", "2", "175 ms"],
        ["slow", "9102", "yes", "0/2", "-", "-", "2.2 s"],
        ["c", "3", "down", "-", "-", "-", "-"],
        ["d", "4", "draining", "-", "-", "-", "-"],
        ["e", "5", "no broker", "-", "-", "-", "-"],
    ]
