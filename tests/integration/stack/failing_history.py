"""A history in which everything that an alert is about has gone wrong, for the expressions that are empty in health."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.integration.stack import history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.stack.servers import Server

STEP, STEPS = 15, 160
"""Seconds between two samples, and how many there are: the last one is now."""


def always(value: float) -> Callable[[int], float]:
    """Stand still."""
    return lambda _: value


def growing(per_second: float) -> Callable[[int], float]:
    """Count up evenly."""
    return lambda step: per_second * STEP * step


def after(start: int) -> Callable[[int], float]:
    """Be there from a step on."""
    return lambda step: 1 if step >= start else math.nan


def until(end: int) -> Callable[[int], float]:
    """Be there up to a step."""
    return lambda step: 1 if step < end else math.nan


def late(step: int) -> float:
    """Be off, and on for the last ten minutes."""
    return float(step > STEPS - 40)


def changing(*values: float) -> Callable[[int], float]:
    """Go round, a minute each."""
    return lambda step: values[step // 4 % len(values)]


DOWN = 'job="celery",instance="down:1",pool="trading"'
STUCK = 'job="celery",instance="stuck:1",pool="market"'
LEAVING = 'job="celery",instance="leaving:1",pool="pipeline"'
HUNG = 'job="celery",instance="hung:1",pool="hung"'
IDLE = 'job="celery",instance="idle:1",pool="idle"'
CUT = 'job="celery",instance="cut:1",pool="cut",env="cut"'
GHOST = 'job="celery",instance="ghost:1",pool="general"'
TASK = 'worker="w@stuck",task_name="orders.place",queue="market"'
OF_POOL = 'job="celery",pool="market",task_name="orders.place"'
HELD = 'worker="w@held",task_name="orders.hold",queue="held"'
NIGHTLY = 'worker="w@stuck",task_name="reports.nightly",queue="market"'
WEB = 'job="web",instance="web:1"'
SENT = 'task_name="orders.place",queue="market"'
BEAT = 'job="celery-beat",instance="beat:1"'
ONE = {"task": "orders.place", "worker": "w@stuck"}
"""Whom the dashboards of one are about: who fares worst."""
VERSIONS = 'worker="w@stuck",pool_kind="prefork",concurrency="2",otel_celery_version="0.1.0"'
SELF = 'job="prometheus",instance="prometheus:1"'

HISTORY: dict[str, Callable[[int], float]] = {
    # One worker says that it is down, one answers on and off, one is being shut down for ever, one never came.
    f"up{{{DOWN}}}": always(1),
    f"up{{{STUCK}}}": changing(1, 0),
    f"up{{{LEAVING}}}": always(1),
    f"up{{{GHOST}}}": always(0),
    f'celery_worker_up{{{DOWN},worker="w@down"}}': always(0),
    f'celery_worker_up{{{STUCK},worker="w@stuck"}}': always(1),
    f'celery_worker_up{{{LEAVING},worker="w@leaving"}}': always(1),
    f'celery_worker_draining{{{LEAVING},worker="w@leaving"}}': late,
    # Two targets have one name; a whole environment has no broker; one pool hangs, another one starts nothing.
    'celery_worker_up{job="celery",instance="twice:1",pool="twice",worker="w@twice"}': always(1),
    'celery_worker_up{job="celery",instance="twice:2",pool="twice",worker="w@twice"}': always(1),
    f'celery_worker_broker_connected{{{CUT},worker="w@cut"}}': always(0),
    f'celery_worker_pool_size{{{HUNG},worker="w@hung"}}': always(2),
    f'celery_worker_tasks_active{{{HUNG},worker="w@hung"}}': always(2),
    f'celery_worker_tasks_reserved{{{HUNG},worker="w@hung"}}': always(1),
    f"celery_task_started_total{{{HUNG},{HELD}}}": always(7),
    f'celery_tasks_total{{{HUNG},{HELD},status="success"}}': always(7),
    f'celery_worker_pool_size{{{IDLE},worker="w@idle"}}': always(2),
    f'celery_worker_tasks_active{{{IDLE},worker="w@idle"}}': always(1),
    f'celery_worker_tasks_reserved{{{IDLE},worker="w@idle"}}': always(3),
    f"celery_task_started_total{{{IDLE},{HELD}}}": always(7),
    f"process_start_time_seconds{{{LEAVING}}}": changing(1e9, 2e9, 3e9),
    f"process_start_time_seconds{{{STUCK}}}": always(1e9),
    # As recorded: how often both changed is looked at.
    f"target:celery_up:state{{{STUCK}}}": changing(1, 0),
    f"target:celery_process_start_time_seconds:state{{{LEAVING}}}": changing(1e9, 2e9, 3e9),
    # A deploy of another Celery was the beginning of it.
    f'celery_worker_info{{{STUCK},{VERSIONS},celery_version="5.6.0"}}': until(STEPS // 2),
    f'celery_worker_info{{{STUCK},{VERSIONS},celery_version="5.7.0"}}': after(STEPS // 2),
    # The stuck one is connected, but its loop does not turn; the other one has no broker.
    f'celery_worker_loop_stall_seconds{{{STUCK},worker="w@stuck"}}': growing(1),
    f'celery_worker_broker_connected{{{STUCK},worker="w@stuck"}}': always(1),
    f'celery_worker_broker_connected{{{DOWN},worker="w@down"}}': always(0),
    f'celery_worker_broker_reconnects_total{{{STUCK},worker="w@stuck"}}': growing(0.1),
    f'celery_worker_process_exits_total{{{STUCK},worker="w@stuck",reason="killed"}}': growing(0.1),
    # Every slot is taken, by a task that does not end; what is reserved does not start.
    f'celery_worker_pool_size{{{STUCK},worker="w@stuck"}}': always(2),
    f'celery_worker_tasks_active{{{STUCK},worker="w@stuck"}}': always(2),
    f'celery_worker_tasks_reserved{{{STUCK},worker="w@stuck"}}': always(8),
    f'celery_worker_oldest_active_task_seconds{{{STUCK},worker="w@stuck",task_name="orders.place"}}': growing(10),
    f"celery_task_started_total{{{STUCK},{TASK}}}": always(7),
    # What ends fails, or is retried; what started had waited for minutes.
    f'celery_tasks_total{{{STUCK},{TASK},status="failure"}}': growing(1),
    f'celery_tasks_total{{{STUCK},{TASK},status="success"}}': growing(1),
    f'celery_tasks_total{{{STUCK},{TASK},status="retry"}}': growing(9),
    f"celery_task_failed_total{{{STUCK},{TASK}}}": growing(1),
    f'celery_task_failures_by_exception_total{{{STUCK},{TASK},exception="OSError"}}': growing(1),
    f'celery_task_failures_by_exception_total{{{STUCK},{TASK},exception="WorkerLostError"}}': growing(0.1),
    f'celery_task_revoked_total{{{STUCK},{TASK},reason="terminated"}}': growing(0.1),
    f"celery_task_rejected_total{{{STUCK},{TASK}}}": growing(0.1),
    # As recorded: their windows are looked at.
    f'worker_reason:celery_task_revoked:sum{{{STUCK},reason="terminated"}}': growing(0.1),
    f"worker:celery_task_rejected:sum{{{STUCK}}}": growing(0.1),
    f"celery_task_redelivered_total{{{STUCK},{TASK}}}": growing(0.1),
    f"celery_task_received_total{{{STUCK},{TASK}}}": growing(1),
    f'celery_tasks_total{{{STUCK},{NIGHTLY},status="failure"}}': growing(0.1),
    f'celery_task_timeouts_total{{{STUCK},{TASK},limit="hard"}}': growing(0.1),
    f'celery_task_prefetch_wait_seconds_bucket{{{STUCK},{TASK},le="60.0"}}': always(0),
    f'celery_task_prefetch_wait_seconds_bucket{{{STUCK},{TASK},le="300.0"}}': growing(1),
    f'celery_task_prefetch_wait_seconds_bucket{{{STUCK},{TASK},le="+Inf"}}': growing(1),
    f"celery_task_last_success_timestamp_seconds{{{STUCK},{TASK}}}": always(1e9),
    # The nightly job comes, and fails.
    f"celery_task_received_total{{{STUCK},{NIGHTLY}}}": always(3),
    f"celery_task_failed_total{{{STUCK},{NIGHTLY}}}": always(3),
    f'celery_messages_unknown_total{{{STUCK},worker="w@stuck",reason="invalid"}}': growing(0.1),
    f'otel_celery_folded_total{{{STUCK},what="task_name"}}': growing(0.1),
    f'otel_celery_internal_errors_total{{{STUCK},where="ended"}}': growing(0.1),
    f'otel_celery_relay_dropped_total{{{STUCK},reason="limit"}}': growing(0.1),
    # As recorded: it is summed up minute by minute, and tells nothing before two have passed.
    f'pool_task_status:celery_tasks:rate5m{{{OF_POOL},status="failure"}}': always(1),
    f"pool_task:celery_task_finished:rate5m{{{OF_POOL}}}": always(1),
    # What only an operator can know (expectations.yml).
    'pool:celery_worker_up:minimum{pool="market"}': always(2),
    'task:celery_task_last_success_age_seconds:maximum{task_name="orders.place"}': always(60),
    'task:celery_worker_oldest_active_task_seconds:maximum{task_name="orders.place"}': always(60),
    'queue:celery_queue_oldest_message_age_seconds:maximum{queue="nobody"}': always(60),
    # Nobody consumes a queue, which grows; the servers behind the exporters are down, then the exporters.
    'redis_key_size{job="redis",instance="redis:1",db="db0",key="nobody"}': growing(1),
    'queue:celery_queue_length:max{queue="nobody"}': growing(1),  # as recorded: its growth is looked at
    'queue:celery_task_received:rate5m{queue="nobody"}': always(0),  # as recorded: an age is reckoned by it
    'celery_queue_oldest_message_age_seconds{job="celery-queues",instance="queues:1",queue="nobody"}': growing(1),
    'celery_queue_oldest_message_age_seconds{job="celery-queues",instance="queues:1",queue="market"}': growing(1),
    f'celery_worker_queue_info{{{STUCK},worker="w@stuck",queue="market"}}': always(1),
    'otel_celery_queue_last_refresh_timestamp_seconds{job="celery-queues",instance="queues:1"}': always(1e9),
    'otel_celery_queue_refresh_failures_total{job="celery-queues",instance="queues:1"}': growing(0.1),
    # Publishing fails; beat sent its entries late, fails, and has stopped.
    f'celery_task_publish_failures_total{{{WEB},{SENT},exception="OSError"}}': growing(0.1),
    f"celery_task_published_total{{{WEB},{SENT}}}": growing(1),
    f"celery_task_publish_duration_seconds_sum{{{WEB},{SENT}}}": growing(1),
    f"celery_task_publish_duration_seconds_count{{{WEB},{SENT}}}": growing(1),
    f"celery_beat_last_tick_timestamp_seconds{{{BEAT}}}": always(1e9),
    f"celery_beat_entries{{{BEAT}}}": always(1),
    f'celery_beat_tasks_sent_total{{{BEAT},task_name="reports.nightly"}}': growing(0.1),
    f'celery_beat_send_failures_total{{{BEAT},task_name="reports.nightly"}}': growing(0.1),
    f'celery_beat_lag_seconds_bucket{{{BEAT},task_name="reports.nightly",le="30.0"}}': always(0),
    f'celery_beat_lag_seconds_bucket{{{BEAT},task_name="reports.nightly",le="60.0"}}': growing(0.1),
    f'celery_beat_lag_seconds_bucket{{{BEAT},task_name="reports.nightly",le="+Inf"}}': growing(0.1),
    f'celery_beat_tasks_sent_total{{{BEAT},task_name="orders.place"}}': growing(0.1),
    f'celery_beat_lag_seconds_bucket{{{BEAT},task_name="orders.place",le="60.0"}}': growing(0.1),
    f'celery_beat_lag_seconds_bucket{{{BEAT},task_name="orders.place",le="+Inf"}}': growing(0.1),
    'instance:redis_up:seen{job="redis",instance="redis:1"}': always(1),
    'instance:pg_up:seen{job="postgres",instance="postgres:1"}': always(1),
    'redis_up{job="redis",instance="redis:1"}': always(0),
    'up{job="redis",instance="redis:1"}': always(0),
    'pg_up{job="postgres",instance="postgres:1"}': always(0),
    'up{job="postgres",instance="postgres:1"}': always(0),
    # Prometheus refuses samples, and fails to evaluate its rules.
    f"prometheus_target_scrapes_exceeded_sample_limit_total{{{SELF}}}": growing(0.1),
    f'prometheus_rule_evaluation_failures_total{{{SELF},rule_group="rules.yml;celery"}}': growing(0.1),
}
"""Series, and how each went."""


@contextmanager
def remembered(directory: Path) -> Iterator[Server]:
    """Run a Prometheus that remembers it, with the committed rules and alerts."""
    with history.remembered(_samples(time.time()), directory, ("rules.yml", "alerts.yml")) as server:
        yield server


def before(server: Server) -> dict[str, str]:
    """Name a moment at which nothing had been scraped yet."""
    return {"time": str(float(server.api("query", query="time()")["result"][0]) - 2 * STEP * STEPS)}


def deploy(server: Server) -> dict[str, str]:
    """Name a moment within the minute after the deploy."""
    new = 'min_over_time(timestamp(celery_worker_info{celery_version="5.7.0"})[2h:15s])'
    return {"time": str(float(server.query(new)[0]["value"][1]) + STEP)}


def _samples(now: float) -> Iterator[str]:
    for series, shape in HISTORY.items():
        for step in range(STEPS):
            if not math.isnan(shape(step)):
                yield f"{series} {shape(step)} {now - (STEPS - 1 - step) * STEP:.3f}"
