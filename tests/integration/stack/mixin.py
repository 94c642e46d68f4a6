"""What the dashboards and alerts of celery-exporter's mixin ask for, panel by panel, written down by its meaning.

Read in its repository in November 2026: "Celery / Tasks / Overview" (Grafana 17509), "Celery / Tasks / By Task" (17508)
and "Celery / Tasks". Each panel chooses by the workers' job, by queue_name and, of one task, by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTERS = ("received", "started", "succeeded", "failed", "retried", "rejected", "revoked")
"""The counters that it and we have under one name."""

SHOWN = ("succeeded", "failed", "sent", "received", "rejected", "retried", "revoked")
"""Those of a row of its tables, and of its pies; what was sent has another name with us."""

ANYWHERE = 'cluster="", namespace="", job=~"celery"'
QUEUES = f'{ANYWHERE}, queue_name!~"None"'
CHOSEN = f'{QUEUES}, queue_name=~"orders"'
TASK = f'{CHOSEN}, name=~"shop.pay", name!~"None"'
OLD = 'job=~"celery|celery-exporter"'
"""What "Celery / Tasks", the oldest one, chooses by."""

QUANTILES = (0.50, 0.95, 0.99)


def grew(counter: str, where: str, over: str, *by: str) -> str:
    """Ask how many there were within a time, by these labels."""
    return f"sum by ({', '.join(by)}) (round(increase(celery_task_{counter}_total{{{where}}}[{over}])))"


def pace(counter: str, where: str, over: str, *by: str) -> str:
    """Ask how often it happens."""
    return f"sum by ({', '.join(by)}) (rate(celery_task_{counter}_total{{{where}}}[{over}]))"


def share(good: str, bad: str) -> str:
    """Ask which share succeeded."""
    return f"{good} / ({good} + {bad})"


def mean(where: str, over: str, *by: str) -> str:
    """Ask how long a task takes on average."""
    sums, counts = (f"sum by ({', '.join(by)}) (rate(celery_task_runtime_{one}{{{where}}}[{over}]))"
                    for one in ("sum", "count"))  # fmt: skip
    return f"{sums} / {counts} > 0"


def quantiles(where: str, *by: str) -> Iterator[tuple[str, str]]:
    """Ask for three quantiles of the runtime."""
    summed = f"sum by ({', '.join((*by, 'job', 'le'))}) (irate(celery_task_runtime_bucket{{{where}}}[1m]))"
    return (("Tasks Runtime", f"histogram_quantile({fraction}, {summed})") for fraction in QUANTILES)


def panels(dashboard: str) -> Iterator[tuple[str, str]]:
    """Give the title and the expression of each query of a dashboard's panels."""
    return {"overview": overview, "by task": by_task, "tasks": tasks}[dashboard]()


def overview() -> Iterator[tuple[str, str]]:
    """Show workers, queues and all tasks."""
    yield "Workers", f"count(celery_worker_up{{{QUEUES}}} == 1)"
    yield "Workers Active Tasks", f"sum(celery_worker_tasks_active{{{QUEUES}}})"
    yield "Queues", f"count(group by (queue_name) (celery_queue_length{{{QUEUES}}}))"
    yield "Tasks received by workers", grew("received", QUEUES, "1w")
    yield "Tasks Success Rate", share(grew("succeeded", QUEUES, "1w"), grew("failed", QUEUES, "1w"))
    yield "Average Runtime for Tasks", mean(QUEUES, "1w")
    yield "Queue Length by Queue", f"topk(10, sum by (queue_name) (celery_queue_length{{{QUEUES}}}))"
    yield "Task Rate by Name", f"topk(10, {pace('received', QUEUES, '6h', 'name')})"
    yield from (("Task States", grew(counter, QUEUES, "6h")) for counter in SHOWN)
    yield "Queue Length", f"sum by (job, queue_name) (celery_queue_length{{{CHOSEN}}})"
    yield "Task Stats", share(*(grew(counter, CHOSEN, "5m", "job") for counter in ("succeeded", "failed"))) + " > -1"
    yield from (("Task Stats", grew(counter, CHOSEN, "5m", "job")) for counter in SHOWN)
    yield from (("Tasks Completed", grew(counter, CHOSEN, "1m")) for counter in SHOWN)
    yield from quantiles(CHOSEN)
    yield "Top Failed Tasks", grew("failed", CHOSEN, "1w", "job", "name")
    yield "Top Task Exceptions", grew("failed", CHOSEN, "1w", "job", "exception")
    yield "Top Average Task Runtime", mean(CHOSEN, "1w", "name")


def by_task() -> Iterator[tuple[str, str]]:
    """Show one task after another."""
    yield "Task Rate by Queue", f"topk(10, {pace('received', CHOSEN, '6h', 'queue_name')})"
    yield "Task Rate by Name", f"topk(10, {pace('received', CHOSEN, '6h', 'name')})"
    yield from (("Task States", grew(counter, CHOSEN, "6h")) for counter in SHOWN)
    yield "Task Stats", share(*(grew(counter, TASK, "1w", "name") for counter in ("succeeded", "failed"))) + " > -1"
    yield from (("Task Stats", grew(counter, TASK, "1w", "name")) for counter in SHOWN)
    yield "Task Exceptions", grew("failed", TASK, "1w", "name", "exception")
    yield from (("Task Events", grew(counter, TASK, "1m", "name")) for counter in SHOWN)
    yield "Task Exceptions by Type", grew("failed", TASK, "1m", "name", "exception")
    yield "Task Success Rate", share(pace("succeeded", TASK, "1m"), pace("failed", TASK, "1m"))
    yield from quantiles(TASK, "name")


def tasks() -> Iterator[tuple[str, str]]:
    """Show the tasks in one table: the oldest of the three."""
    task = f'{OLD}, name=~"shop.pay"'
    yield "Celery Workers", f"count(celery_worker_up{{{OLD}}} == 1)"
    yield "Tasks Active", f"sum(celery_worker_tasks_active{{{OLD}}})"
    yield "Tasks received by workers", grew("received", OLD, "1d")
    yield "Successful completion rate", share(grew("succeeded", OLD, "1d"), grew("failed", OLD, "1d"))
    yield "Average Runtime for Tasks", mean(OLD, "1d")
    for label in ("name", "exception"):
        yield f"Top 5 by {label}", f"topk(5, {grew('failed', OLD, '1d', label)} > 0)"
    yield "Top 5 task runtime", f"topk(5, {mean(OLD, '1d', 'name')})"
    yield "Task Stats", share(*(grew(counter, task, "5m", "name") for counter in ("succeeded", "failed"))) + " > -1"
    for counter in SHOWN:
        if counter != "sent":
            yield "Task Stats", f"{grew(counter, task, '5m', 'name')} > 0"
            yield "Tasks completed", grew(counter, task, "10m", "name")
    yield "Tasks Runtime", mean(task, "10m", "name")


WITH_JOB = 'job=~".*celery.*"'
OF_ONE = ("job", "namespace", "queue_name", "name")
FAILED, SUCCEEDED = (grew(c, f'{WITH_JOB}, name!~"None"', "10m", *OF_ONE) for c in ("failed", "succeeded"))

ALERTS = {
    "CeleryTaskHighFailRate": f"{FAILED} / ({FAILED} + {SUCCEEDED}) * 100 > 5",
    "CeleryHighQueueLength": f"sum by (job, namespace, queue_name) (celery_queue_length{{{WITH_JOB}}}) > 100",
    "CeleryWorkerDown": f"celery_worker_up{{{WITH_JOB}}} == 0",
}
"""Its alerts."""
