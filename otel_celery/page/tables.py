"""The page's tables: what this process knows of each task, queue and entry of a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.page import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_celery.page.figures import Figures

MAX_ROWS = 100
"""Rows of a table at most; the rest is counted in a sentence."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What a table is called, and its columns: first the row's name, then figures."""

    key: str
    title: str
    heads: tuple[str, ...]


TASKS = Columns(
    "tasks",
    "Tasks",
    ("task", "received", "succeeded", "failed", "retried", "p50", "p95", "last success", "raised most"),
)
QUEUES = Columns("queues", "Queues", ("queue", "received here", "waiting", "oldest", "unacknowledged", "consumers"))
CONSUMED = Columns("consumed", "Queues", QUEUES.heads[:2])
"""Of a worker that does not ask its broker."""
ENTRIES = Columns("entries", "Schedule", ("task", "sent", "not sent", "lag p50", "lag p95"))
COLUMNS = (TASKS, QUEUES, CONSUMED, ENTRIES)


@dataclass(frozen=True, slots=True)
class Table:
    """One table as it is shown."""

    columns: Columns
    rows: Sequence[tuple[str, ...]]
    rest: str
    """A sentence about rows that are not shown; empty if all are."""


def tables(figures: Figures, now: float) -> list[Table]:
    """Make the tables that have rows; ``now`` is in seconds since the epoch."""
    made = (_tasks(figures, now), _queues(figures), _entries(figures))
    return [table for table in made if table.rows]


def _tasks(figures: Figures, now: float) -> Table:
    received, failed = (figures.sums(f"celery_task_{word}_total", "task_name") for word in ("received", "failed"))
    succeeded, retried = (figures.sums(f"celery_task_{word}_total", "task_name") for word in ("succeeded", "retried"))
    quantiles = figures.quantiles("celery_task_duration_seconds", "task_name")
    last = figures.highest("celery_task_last_success_timestamp_seconds", "task_name")
    raised = figures.most("celery_task_failures_by_exception_total", "task_name", "exception")
    order = _ordered(received.keys() | failed.keys(), failed, received)
    rows = []
    for task in order[:MAX_ROWS]:
        counts = [words.count(numbers.get(task, 0.0)) for numbers in (received, succeeded, failed, retried)]
        spread = [words.duration(each) for each in quantiles.get(task, (None, None))]
        exception, number = raised.get(task, ("", 0.0))
        most = f"{words.name(exception)} ({words.count(number)})" if number else words.NOTHING
        rows.append((words.name(task), *counts, *spread, words.ago(last.get(task), now), most))
    left = order[MAX_ROWS:]
    counts = [
        f"{words.count(sum(of.get(task, 0.0) for task in left))} {word}"
        for of, word in ((received, "received"), (failed, "failed"))
    ]
    return Table(TASKS, rows, _rest(left, "task", "tasks", f": {', '.join(counts)}"))


def _queues(figures: Figures) -> Table:
    received = figures.sums("celery_task_received_total", "queue")
    length = figures.sums("celery_queue_length", "queue")
    oldest = figures.highest("celery_queue_oldest_message_age_seconds", "queue")
    unacked, consumers = (figures.sums(f"celery_queue_{word}", "queue") for word in ("unacked", "consumers"))
    names = (
        figures.sums("celery_worker_queue_info", "queue").keys() | received.keys() | length.keys() | consumers.keys()
    )
    order = _ordered(names, length, received)
    rows = [
        (
            words.name(queue),
            words.count(received.get(queue)),
            words.count(length.get(queue)),
            words.duration(oldest.get(queue)),
            words.count(unacked.get(queue)),
            words.count(consumers.get(queue)),
        )
        for queue in order[:MAX_ROWS]
    ]
    columns = QUEUES if length or consumers else CONSUMED
    return Table(columns, [row[: len(columns.heads)] for row in rows], _rest(order[MAX_ROWS:], "queue", "queues"))


def _entries(figures: Figures) -> Table:
    sent = figures.sums("celery_beat_tasks_sent_total", "task_name")
    failures = figures.sums("celery_beat_send_failures_total", "task_name")
    lag = figures.quantiles("celery_beat_lag_seconds", "task_name")
    order = _ordered(sent.keys() | failures.keys(), failures, sent)
    rows = [
        (
            words.name(task),
            words.count(sent.get(task, 0.0)),
            words.count(failures.get(task, 0.0)),
            *map(words.duration, lag.get(task, (None, None))),
        )
        for task in order[:MAX_ROWS]
    ]
    return Table(ENTRIES, rows, _rest(order[MAX_ROWS:], "entry", "entries"))


def _ordered(names: Iterable[str], *by: Mapping[str, float]) -> list[str]:
    """Sort names by the highest figures first, then by themselves."""
    return sorted(names, key=lambda name: (*(-numbers.get(name, 0.0) for numbers in by), name))


def _rest(left: Sequence[str], one: str, many: str, what: str = "") -> str:
    return f"{words.counted(len(left), f'more {one}', f'more {many}')}{what}; /metrics has all." if left else ""
