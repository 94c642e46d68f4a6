"""What the port must say: the contract of docs/contract.md, written down by hand and never derived from the package."""

from __future__ import annotations

from typing import NamedTuple

WORKER = frozenset({"worker"})
TASK = frozenset({"worker", "task_name", "queue"})


class Family(NamedTuple):
    """One family as Prometheus sees it."""

    kind: str
    labels: frozenset[str]


DOCUMENTED = {
    "celery_worker_up": Family("gauge", WORKER),
    "celery_worker_tasks_active": Family("gauge", WORKER),
    "celery_tasks_total": Family("counter", TASK | {"status"}),
    "celery_task_received_total": Family("counter", TASK),
    "celery_task_started_total": Family("counter", TASK),
    "celery_task_succeeded_total": Family("counter", TASK),
    "celery_task_failed_total": Family("counter", TASK),
    "celery_task_retried_total": Family("counter", TASK),
    "celery_task_rejected_total": Family("counter", TASK),
    "celery_task_duration_seconds": Family("histogram", TASK),
    "celery_task_runtime_seconds": Family("histogram", TASK),
}

OURS = {
    "celery_task_returned_total": Family("counter", TASK),
    "celery_task_redelivered_total": Family("counter", TASK),
    "celery_task_revoked_total": Family("counter", TASK | {"reason"}),
    "celery_task_failures_by_exception_total": Family("counter", TASK | {"exception"}),
    "celery_task_timeouts_total": Family("counter", TASK | {"limit"}),
    "celery_task_queue_wait_seconds": Family("histogram", TASK),
    "celery_task_prefetch_wait_seconds": Family("histogram", TASK),
    "celery_task_last_success_timestamp_seconds": Family("gauge", TASK),
    "celery_worker_oldest_active_task_seconds": Family("gauge", frozenset({"worker", "task_name"})),
    "celery_worker_tasks_reserved": Family("gauge", WORKER),
    "celery_worker_tasks_scheduled": Family("gauge", WORKER),
    "celery_worker_pool_size": Family("gauge", WORKER),
    "celery_worker_draining": Family("gauge", WORKER),
    "celery_worker_last_loop_timestamp_seconds": Family("gauge", WORKER),
    "celery_worker_loop_stall_seconds": Family("gauge", WORKER),
    "celery_worker_process_exits_total": Family("counter", frozenset({"worker", "reason"})),
    "celery_worker_broker_connected": Family("gauge", WORKER),
    "celery_worker_broker_reconnects_total": Family("counter", WORKER),
    "celery_worker_queue_info": Family("gauge", frozenset({"worker", "queue"})),
    "celery_worker_info": Family(
        "gauge", frozenset({"worker", "pool_kind", "concurrency", "celery_version", "otel_celery_version"})
    ),
    "celery_messages_unknown_total": Family("counter", frozenset({"worker", "reason"})),
    "otel_celery_start_timestamp_seconds": Family("gauge", frozenset()),
    "otel_celery_internal_errors_total": Family("counter", frozenset({"where"})),
    "otel_celery_relay_dropped_total": Family("counter", frozenset({"reason"})),
    "otel_celery_clock_skew_total": Family("counter", frozenset()),
    "celery_task_published_total": Family("counter", TASK),
    "celery_task_publish_failures_total": Family("counter", TASK | {"exception"}),
    "celery_task_publish_duration_seconds": Family("histogram", TASK),
    "otel_celery_folded_total": Family("counter", frozenset({"what"})),
}

WORKERS = DOCUMENTED | OURS
"""What a worker's port says."""

BEATS = {
    "celery_beat_last_tick_timestamp_seconds": Family("gauge", frozenset()),
    "celery_beat_entries": Family("gauge", frozenset()),
    "celery_beat_tasks_sent_total": Family("counter", frozenset({"task_name"})),
    "celery_beat_send_failures_total": Family("counter", frozenset({"task_name"})),
    "celery_beat_lag_seconds": Family("histogram", frozenset({"task_name"})),
}
"""What beat's port says besides."""

QUEUES = {
    "celery_queue_length": Family("gauge", frozenset({"queue"})),
    "celery_queue_consumers": Family("gauge", frozenset({"queue"})),
    "celery_queue_unacked": Family("gauge", frozenset({"queue"})),
    "celery_queue_oldest_message_age_seconds": Family("gauge", frozenset({"queue"})),
    "otel_celery_queue_refresh_failures_total": Family("counter", frozenset()),
    "otel_celery_queue_last_refresh_timestamp_seconds": Family("gauge", frozenset()),
}
"""What the port of a process that asks brokers says besides."""

CONTRACT = WORKERS | BEATS | QUEUES

CLOSED = {
    ("celery_tasks_total", "status"): {"success", "failure", "retry", "rejected", "ignored", "revoked", "unreported"},
    ("celery_task_revoked_total", "reason"): {"revoked", "expired", "terminated"},
    ("celery_task_timeouts_total", "limit"): {"soft", "hard"},
    ("celery_worker_process_exits_total", "reason"): {"recycled", "killed", "exited", "timed_out"},
    ("celery_messages_unknown_total", "reason"): {"unknown_task", "undecodable", "invalid"},
}
"""The labels whose values are known beforehand."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
