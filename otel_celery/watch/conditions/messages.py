"""Conditions of messages that are not run, or not sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch.model import Subject
from otel_celery.watch.scene import of_worker
from otel_celery.watch.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.scene import Found, Scene


def celery_tasks_revoked(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose tasks are not run."""
    for key in scene.totals.owners("revoked"):
        number = scene.totals.rise(key, alert.window)
        if number > alert.limits[0]:
            subject = Subject(pool=str(key[1]), detail=str(key[2]))
            yield subject, f"{plural(number, 'task was', 'tasks were')} revoked within {duration(alert.window)}"


def celery_tasks_rejected(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose tasks are rejected."""
    rejected: dict[str, float] = {}
    for task in scene.tasks:
        number = scene.totals.rise(("task ends", task.pool, task.name, "rejected"), alert.window)
        rejected[task.pool] = rejected.get(task.pool, 0.0) + number
    for pool, number in rejected.items():
        if number > alert.limits[0]:
            tasks = plural(number, "task was", "tasks were")
            yield Subject(pool=pool), f"{tasks} rejected within {duration(alert.window)}"


def celery_messages_unknown(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that get messages which they cannot run."""
    for worker in scene.workers:
        for reason in ("unknown_task", "undecodable", "invalid"):
            lost = scene.totals.rise(("unknown", worker.url, worker.name, reason), alert.window)
            if lost:
                yield of_worker(worker, reason), f"{plural(lost, 'message')} never became a task"


def celery_publish_failures(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find messages that could not be published."""
    for key in scene.totals.owners("unpublished"):
        failed = scene.totals.rise(key, alert.window)
        if failed:
            figure = f"{plural(failed, 'message')} could not be published within {duration(alert.window)}"
            yield Subject(pool=str(key[1]), detail=str(key[2])), figure


JUDGES = (celery_tasks_revoked, celery_tasks_rejected, celery_messages_unknown, celery_publish_failures)
