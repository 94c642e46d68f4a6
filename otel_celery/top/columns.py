"""The tables' columns: what each shows, how it sorts, and which give way where there is no room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.text import Text

from otel_celery.top import drawing
from otel_celery.watch.model import TROUBLED, Problem, Queue, State, Task, Worker
from otel_celery.watch.words import count, duration, rate, share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_celery.watch.model import View

R = TypeVar("R")

BAD = "bold red"
ODD = "yellow"
GOOD = "green"
DIM = "dim"


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column of a table."""

    title: str
    width: int
    shown: Callable[[R], str | Text]
    sort: Callable[[R], Any]
    """What rows are ordered by; None goes last."""
    rank: int = 0
    """Columns of a higher rank give way first."""
    is_text: bool = False
    """Whether it is set to the left, and sorts upwards first."""
    grows: bool = False
    """Whether it takes what room is left."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """One table: its columns, its rows in a view, and what names a row."""

    name: str
    columns: tuple[Column[R], ...]
    rows: Callable[[View], Sequence[R]]
    key: Callable[[R], tuple[str, ...]]
    text: Callable[[R], str]
    """What a filter looks in."""
    empty: str
    """What stands there in place of rows."""


STATES = {State.UP: GOOD, State.DRAINING: ODD, State.STARTING: ODD}


def _state(worker: Worker) -> Text:
    return Text(worker.state.value, BAD if worker.state in TROUBLED else STATES.get(worker.state, ""))


def _busy(worker: Worker) -> Text:
    if worker.active is None or worker.size is None:
        return Text("-")
    return Text(f"{drawing.bar(worker.active, worker.size, 6)} {worker.active}/{worker.size}")


def _exits(worker: Worker) -> Text:
    lost = sum(number for reason, number in worker.exits_by_reason if reason in {"killed", "exited"})
    return Text(count(worker.exits), BAD if lost else "")


def _bad(number: float | None, words: str) -> Text:
    return Text(words, BAD if number else DIM)


def _load(worker: Worker) -> float | None:
    return None if worker.active is None or not worker.size else worker.active / worker.size


WORKERS: Kind[Worker] = Kind(
    "workers",
    (
        Column("worker", 20, lambda w: w.name, lambda w: w.name, is_text=True, grows=True),
        Column("state", 13, _state, lambda w: list(State).index(w.state), is_text=True),
        Column("busy", 13, _busy, _load),
        Column("recv/s", 7, lambda w: rate(w.received), lambda w: w.received),
        Column("ok/s", 7, lambda w: rate(w.succeeded), lambda w: w.succeeded, 1),
        Column("fail/s", 7, lambda w: _bad(w.failed, rate(w.failed)), lambda w: w.failed),
        Column("p95", 7, lambda w: duration(w.p95), lambda w: w.p95),
        Column("oldest", 7, lambda w: duration(w.oldest), lambda w: w.oldest, 1),
        Column("retry/s", 8, lambda w: rate(w.retried), lambda w: w.retried, 3),
        Column("p50", 7, lambda w: duration(w.p50), lambda w: w.p50, 2),
        Column("reserved", 9, lambda w: count(w.reserved), lambda w: w.reserved, 2),
        Column("sched", 6, lambda w: count(w.scheduled), lambda w: w.scheduled, 3),
        Column("exits", 6, _exits, lambda w: w.exits, 3),
        Column("ends/s", 20, lambda w: drawing.spark(w.recent, 20), lambda w: w.recent[-1:], 4, is_text=True),
        Column("oldest task", 24, lambda w: w.oldest_task, lambda w: w.oldest_task, 5, is_text=True, grows=True),
        Column("kind", 8, lambda w: w.kind, lambda w: w.kind, 6, is_text=True),
        Column("pool", 12, lambda w: w.pool, lambda w: w.pool, 6, is_text=True),
    ),
    lambda view: view.workers,
    lambda w: (w.url, w.name),
    lambda w: f"{w.name} {w.pool} {w.state.value} {w.url} {' '.join(w.queues)}",
    "no worker has answered yet",
)


def _ratio(task: Task) -> Text:
    return _bad(task.failure_ratio, share(task.failure_ratio))


def tasks_at(now: float) -> tuple[Column[Task], ...]:
    """Give the tasks' columns at a moment, in seconds since the epoch: ages are counted from there."""

    def age(task: Task) -> float | None:
        return None if task.last_success is None else max(0.0, now - task.last_success)

    return (
        Column("task", 26, lambda t: t.name, lambda t: t.name, is_text=True, grows=True),
        Column("ends/s", 7, lambda t: rate(t.rate), lambda t: t.rate),
        Column("failed", 7, _ratio, lambda t: t.failure_ratio),
        Column("p50", 7, lambda t: duration(t.p50), lambda t: t.p50, 2),
        Column("p95", 7, lambda t: duration(t.p95), lambda t: t.p95),
        Column("wait", 7, lambda t: duration(t.wait), lambda t: t.wait, 1),
        Column("success", 8, lambda t: duration(age(t)), age, 1),
        Column("exception", 22, lambda t: t.exception, lambda t: t.exception, 2, is_text=True, grows=True),
        Column("pool", 12, lambda t: t.pool, lambda t: t.pool, 3, is_text=True),
        Column("recv/s", 7, lambda t: rate(t.received), lambda t: t.received, 4),
        Column("retry/s", 8, lambda t: rate(t.retried), lambda t: t.retried, 4),
        Column("oldest", 7, lambda t: duration(t.oldest), lambda t: t.oldest, 3),
        Column("recent", 20, lambda t: drawing.spark(t.recent, 20), lambda t: t.recent[-1:], 5, is_text=True),
    )


def tasks(now: float) -> Kind[Task]:
    """Give the table of tasks at a moment."""
    return Kind(
        "tasks",
        tasks_at(now),
        lambda view: view.tasks,
        lambda t: (t.pool, t.name),
        lambda t: f"{t.name} {t.pool} {t.exception}",
        "no task has been received yet",
    )


def _consumers(queue: Queue) -> Text:
    return Text(count(queue.consumers), BAD if queue.length and not queue.consumers else "")


QUEUES: Kind[Queue] = Kind(
    "queues",
    (
        Column("queue", 26, lambda q: q.name, lambda q: q.name, is_text=True, grows=True),
        Column("length", 8, lambda q: count(q.length), lambda q: q.length),
        Column("oldest", 7, lambda q: duration(q.oldest), lambda q: q.oldest),
        Column("consumers", 10, _consumers, lambda q: q.consumers),
        Column("recv/s", 7, lambda q: rate(q.received), lambda q: q.received),
        Column("wait", 7, lambda q: duration(q.wait), lambda q: q.wait),
        Column("unacked", 8, lambda q: count(q.unacked), lambda q: q.unacked, 1),
    ),
    lambda view: view.queues,
    lambda q: (q.name,),
    lambda q: q.name,
    "no worker tells of a queue; `otel-celery queues serve` tells their lengths",
)


def _severity(problem: Problem) -> Text:
    mark = "!!" if problem.severity == "critical" else "!"
    return Text(f"{mark} {problem.severity}", BAD if problem.severity == "critical" else ODD)


def _since(problem: Problem) -> str:
    if problem.is_firing:
        return f"{duration(problem.since)}, alert"
    return f"{duration(problem.since)} of {duration(problem.after)}"


PROBLEMS: Kind[Problem] = Kind(
    "problems",
    (
        Column("severity", 11, _severity, lambda p: p.severity, is_text=True),
        Column("alert", 26, lambda p: p.alert, lambda p: p.alert, is_text=True),
        Column("of", 19, lambda p: str(p.subject), lambda p: str(p.subject), is_text=True),
        Column("for", 18, _since, lambda p: p.since, 1, is_text=True),
        Column("figure", 28, lambda p: p.figure, lambda p: p.figure, 2, is_text=True, grows=True),
        Column("first step", 60, lambda p: p.look, lambda p: p.look, 3, is_text=True, grows=True),
    ),
    lambda view: view.problems,
    lambda p: (p.alert, str(p.subject), p.subject.url),
    lambda p: f"{p.alert} {p.subject} {p.figure}",
    "nothing is wrong",
)


def fitting(columns: Sequence[Column[Any]], width: int, gap: int = 1) -> list[tuple[Column[Any], int]]:
    """Choose the columns for a width, with ``gap`` spaces between them; what is left goes to those that may be cut."""
    chosen = list(columns)
    while sum(column.width + gap for column in chosen) - gap > width and len(chosen) > 1:
        chosen.remove(max(reversed(chosen), key=lambda column: column.rank))
    left = width - sum(column.width + gap for column in chosen) + gap
    stretched = [column for column in chosen if column.grows]
    extra = left // len(stretched) if stretched and left > 0 else min(left, 0)
    return [(column, max(1, column.width + (extra if column in stretched else 0))) for column in chosen]


def ordered(rows: Sequence[R], column: Column[R], *, is_reversed: bool) -> list[R]:
    """Sort rows by a column, numbers from the greatest, texts from A; what is not known stays last."""
    known = [row for row in rows if column.sort(row) is not None]
    descending = is_reversed if column.is_text else not is_reversed
    return [
        *sorted(known, key=column.sort, reverse=descending),
        *(row for row in rows if column.sort(row) is None),
    ]
