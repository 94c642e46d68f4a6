"""A close look at one worker, one task, one queue or one problem: what fills the screen when a row is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from otel_celery.top import drawing
from otel_celery.top.columns import BAD, DIM, ODD
from otel_celery.watch.words import count, duration, plural, rate, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_celery.watch.detail import Counts, Detail
    from otel_celery.watch.fleet import Fleet
    from otel_celery.watch.model import Problem, Queue, Task, View, Worker

BOUND = 9
LISTED = 12
"""Lines of a list at most."""
HEAD = "bold underline"


def look(kind: str, row: Any, fleet: Fleet, view: View, width: int) -> Iterator[Text]:
    """Look closely at a row of the table of this name, on so many columns."""
    if kind == "workers":
        return of_worker(row, fleet.worker(row.url, row.name), view, width)
    if kind == "tasks":
        return of_task(row, fleet.task(row.pool, row.name), view, width)
    return of_queue(row, view) if kind == "queues" else of_problem(row, view)


def of_worker(worker: Worker, detail: Detail | None, view: View, width: int) -> Iterator[Text]:
    """Look closely at a worker."""
    yield Text.assemble((worker.name, "bold"), f"  {worker.url}")
    why = f": {worker.why}" if worker.why else ""
    since = f", up for {duration(view.at - worker.started)}" if worker.started else ""
    yield Text(f"{worker.state.value}{why}{since}", BAD if worker.why else "")
    versions = f"Celery {worker.celery}, otel-celery {worker.otel_celery}, " if worker.celery else ""
    yield Text(f"{versions}pool {worker.pool} {worker.kind}".rstrip())
    if worker.size is not None:
        bar = drawing.bar(worker.active or 0, worker.size, 20)
        busy = f"{bar} {count(worker.active)} of {worker.size} slots busy"
        yield Text(f"{busy}, {count(worker.reserved)} reserved, {count(worker.scheduled)} scheduled")
    yield _rates(worker)
    yield Text(f"duration: p50 {duration(worker.p50)}, p95 {duration(worker.p95)}")
    if worker.oldest is not None:
        yield Text(f"oldest running task: {worker.oldest_task}, for {duration(worker.oldest)}")
    exits = ", ".join(f"{number} {reason}" for reason, number in worker.exits_by_reason if number) or "none"
    yield Text(f"children of its pool that ended: {exits}; the worker itself was started anew {worker.restarts} times")
    yield Text(f"ends a second, lately: {drawing.spark(worker.recent, min(60, width - 24)).lstrip()}")
    yield from _problems(p for p in view.problems if p.subject.url == worker.url)
    if detail is not None:
        yield from _detail(detail, "tasks since its start", width)


def of_task(task: Task, detail: Detail, view: View, width: int) -> Iterator[Text]:
    """Look closely at a task."""
    yield Text.assemble((task.name, "bold"), f"  pool {task.pool}")
    yield _rates(task)
    yield Text(f"failures: {share(task.failure_ratio)} of what finished", BAD if task.failure_ratio else "")
    yield Text(f"duration: p50 {duration(task.p50)}, p95 {duration(task.p95)}; wait: p95 {duration(task.wait)}")
    succeeded = "never" if task.last_success is None else f"{duration(view.at - task.last_success)} ago"
    running = f"; the oldest run takes {duration(task.oldest)} so far" if task.oldest is not None else ""
    yield Text(f"last success: {succeeded}{running}")
    yield Text(f"ends a second, lately: {drawing.spark(task.recent, min(60, width - 24)).lstrip()}")
    yield from _problems(p for p in view.problems if p.subject.task == task.name)
    yield from _detail(detail, "ends since the workers' start", width)


def of_queue(queue: Queue, view: View) -> Iterator[Text]:
    """Look closely at a queue."""
    yield Text.assemble("queue ", (queue.name, "bold"))
    yield Text(f"length {count(queue.length)}, unacknowledged {count(queue.unacked)}")
    yield Text(f"oldest message: {duration(queue.oldest)}; wait: p95 {duration(queue.wait)}")
    consuming = [worker for worker in view.workers if queue.name in worker.queues]
    yield Text(f"consumers: {count(queue.consumers)}", BAD if not queue.consumers else "")
    for worker in consuming[:LISTED]:
        yield Text(f"  {worker.name}, {worker.state.value}, {count(worker.active)} of {count(worker.size)} slots busy")
    yield Text(f"received a second: {rate(queue.received)}")
    yield from _problems(p for p in view.problems if p.subject.queue == queue.name)


def of_problem(problem: Problem, view: View) -> Iterator[Text]:
    """Look closely at a problem: what the runbook says, and where one reads the rest of it."""
    yield Text.assemble((problem.alert, "bold"), f"  {problem.severity}", "  ", str(problem.subject))
    yield Text(problem.figure, BAD if problem.severity == "critical" else ODD)
    held = f"It has held for {duration(problem.since)}"
    yield Text(
        f"{held}: the alert fires."
        if problem.is_firing
        else f"{held}; the alert fires after {duration(problem.after)}."
    )
    yield Text("")
    yield Text("First step", HEAD)
    yield Text(problem.look)
    if problem.command:
        yield Text(f"$ {problem.command}", "bold")
    yield Text("")
    yield Text("Then", HEAD)
    yield Text(problem.do)
    yield Text("")
    yield Text(f"More: {view.more(problem.section)}", DIM)


def _rates(row: Worker | Task) -> Text:
    pairs = (("received", row.received), ("succeeded", row.succeeded), ("failed", row.failed), ("retried", row.retried))
    return Text("a second: " + ", ".join(f"{number:.2f} {word}" for word, number in pairs))


def _problems(problems: Iterable[Problem]) -> Iterator[Text]:
    for problem in problems:
        yield Text(f"{problem.severity}: {problem.alert}: {problem.figure}", BAD)


def _detail(detail: Detail, ends: str, width: int) -> Iterator[Text]:
    if detail.queues:
        yield Text(f"queues: {', '.join(detail.queues[:LISTED])}")
    when = "the last minute" if detail.is_recent else "since the start"
    drawn = drawing.histogram(detail.buckets, max(10, width - BOUND - 12))
    if drawn:
        yield Text("")
        yield Text(f"how long runs took, {when}", HEAD)
        for bound, bar, number in drawn:
            yield Text(f"{bound:>{BOUND}} {bar} {number or ''}".rstrip())
    yield from _counts("exceptions since the start", detail.exceptions, BAD)
    yield from _counts(ends, detail.ends, "")


def _counts(title: str, counts: Counts, style: str) -> Iterator[Text]:
    if not counts:
        return
    yield Text("")
    yield Text(title, HEAD)
    for name, number in counts[:LISTED]:
        yield Text(f"{number:>9}  {name}", style)
    if len(counts) > LISTED:
        yield Text(f"           and {plural(len(counts) - LISTED, 'other')}", DIM)
