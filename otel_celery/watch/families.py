"""Which families are read, and what the rise of each counter is added to.

A key is a word and its owner, such as ``("ends", url, worker, "success")``; a bucket's has its bound at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from otel_celery.watch.figures import figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

K = TypeVar("K", str, float)
Key = tuple[str | float, ...]

UP = "celery_worker_up"
ACTIVE = "celery_worker_tasks_active"
RESERVED = "celery_worker_tasks_reserved"
SCHEDULED = "celery_worker_tasks_scheduled"
SIZE = "celery_worker_pool_size"
DRAINING = "celery_worker_draining"
STALL = "celery_worker_loop_stall_seconds"
CONNECTED = "celery_worker_broker_connected"
OLDEST = "celery_worker_oldest_active_task_seconds"
CONSUMES = "celery_worker_queue_info"
INFO = "celery_worker_info"
LAST_SUCCESS = "celery_task_last_success_timestamp_seconds"
LENGTH = "celery_queue_length"
CONSUMERS = "celery_queue_consumers"
UNACKED = "celery_queue_unacked"
AGE = "celery_queue_oldest_message_age_seconds"
REFRESHED = "otel_celery_queue_last_refresh_timestamp_seconds"
TICK = "celery_beat_last_tick_timestamp_seconds"
ENTRIES = "celery_beat_entries"
EXITS = "celery_worker_process_exits_total"
EXCEPTIONS = "celery_task_failures_by_exception_total"
DURATION = "celery_task_duration_seconds_bucket"
RUNTIME = "celery_task_runtime_seconds_bucket"
RUNTIME_SUM = "celery_task_runtime_seconds_sum"
TASKS = "celery_tasks_total"
RECEIVED = "celery_task_received_total"
REDELIVERED = "celery_task_redelivered_total"

LEVELS = (
    *(UP, ACTIVE, RESERVED, SCHEDULED, SIZE, DRAINING, STALL, CONNECTED, OLDEST, CONSUMES, INFO, LAST_SUCCESS),
    *(LENGTH, CONSUMERS, UNACKED, AGE, REFRESHED, TICK, ENTRIES),
)
"""What is read as it stands."""

OURS = (UP, REFRESHED, LENGTH, TICK, ENTRIES, "celery_task_published_total", "otel_celery_internal_errors_total")
"""A page that has none of these is somebody else's."""


@dataclass(frozen=True, slots=True)
class Node:
    """A worker behind an endpoint; one of another process, such as beat, has no name."""

    url: str
    worker: str
    pool: str


def bound(labels: Mapping[str, str]) -> float:
    """Read a bucket's upper bound; infinity where it is none to reckon with."""
    upper = figure(labels.get("le", ""))
    return math.inf if upper is None else upper


def _ends(node: Node, labels: Mapping[str, str]) -> tuple[Key, ...]:
    task, status = labels.get("task_name", ""), labels.get("status", "")
    ended: tuple[Key, ...] = (
        ("ends", node.url, node.worker, status),
        ("task ends", node.pool, task, status),
    )
    if status == "failure":
        return (*ended, ("failed", node.url, node.worker, task, labels.get("queue", "")))
    return ended


def _received(node: Node, labels: Mapping[str, str]) -> tuple[Key, ...]:
    return (
        ("received", node.url, node.worker),
        ("task received", node.pool, labels.get("task_name", "")),
        ("queue received", labels.get("queue", "")),
    )


def _duration(node: Node, labels: Mapping[str, str]) -> tuple[Key, ...]:
    upper = bound(labels)
    return (
        ("duration", node.url, node.worker, upper),
        ("task duration", node.pool, labels.get("task_name", ""), upper),
    )


def _wait(word: str) -> Callable[[Node, Mapping[str, str]], tuple[Key, ...]]:
    def keys(node: Node, labels: Mapping[str, str]) -> tuple[Key, ...]:
        upper = bound(labels)
        return (
            (f"task {word}", node.pool, labels.get("task_name", ""), upper),
            (f"queue {word}", labels.get("queue", ""), upper),
        )

    return keys


def _of_node(word: str, *names: str) -> Callable[[Node, Mapping[str, str]], tuple[Key, ...]]:
    def keys(node: Node, labels: Mapping[str, str]) -> tuple[Key, ...]:
        return ((word, node.url, node.worker, *(labels.get(name, "") for name in names)),)

    return keys


def _of_pool(word: str, *names: str) -> Callable[[Node, Mapping[str, str]], tuple[Key, ...]]:
    def keys(node: Node, labels: Mapping[str, str]) -> tuple[Key, ...]:
        return ((word, node.pool, *(labels.get(name, "") for name in names)),)

    return keys


def _lag(node: Node, labels: Mapping[str, str]) -> tuple[Key, ...]:
    return (("lag", node.url, labels.get("task_name", ""), bound(labels)),)


RISES: Mapping[str, Callable[[Node, Mapping[str, str]], tuple[Key, ...]]] = {
    TASKS: _ends,
    RECEIVED: _received,
    "celery_task_started_total": _of_pool("started"),
    DURATION: _duration,
    "celery_task_queue_wait_seconds_bucket": _wait("wait"),
    "celery_task_prefetch_wait_seconds_bucket": _wait("prefetch"),
    EXCEPTIONS: _of_pool("exception", "task_name", "exception"),
    REDELIVERED: _of_pool("redelivered", "task_name"),
    "celery_task_revoked_total": _of_pool("revoked", "reason"),
    "celery_task_timeouts_total": _of_pool("timeouts", "task_name", "limit"),
    "celery_messages_unknown_total": _of_node("unknown", "reason"),
    EXITS: _of_node("exits", "reason"),
    "celery_worker_broker_reconnects_total": _of_node("reconnects"),
    "otel_celery_internal_errors_total": _of_node("errors", "where"),
    "otel_celery_relay_dropped_total": _of_pool("dropped", "reason"),
    "otel_celery_folded_total": _of_pool("folded", "what"),
    "celery_task_publish_failures_total": _of_pool("unpublished", "exception"),
    "celery_beat_tasks_sent_total": _of_node("sent"),
    "celery_beat_send_failures_total": _of_node("unsent"),
    "celery_beat_lag_seconds_bucket": _lag,
}
"""What a rise of each counter is added to."""

WANTED = (*LEVELS, *RISES)
