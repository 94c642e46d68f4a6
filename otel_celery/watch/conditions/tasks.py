"""Conditions of tasks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from otel_celery.watch import families
from otel_celery.watch.conditions import usual
from otel_celery.watch.exposition import STARTED
from otel_celery.watch.model import Subject
from otel_celery.watch.scene import FEWEST
from otel_celery.watch.words import duration, plural, share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.scene import Found, Scene


def high_task_failure_rate(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that fail often on one worker."""
    for key in scene.totals.owners("failed"):
        rate = scene.rate(key, alert.window)
        if rate > alert.limits[0] and scene.totals.rise(key, alert.window) >= FEWEST:
            _, url, worker, task, queue = map(str, key)
            subject = Subject(worker=worker, task=task, queue=queue, url=url)
            yield subject, f"{rate:.2f} failures a second; the limit is {alert.limits[0]:g}"


def celery_task_failure_ratio_high(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks of which too many runs fail, of enough."""
    limit, floor = alert.limits[:2]
    for subject, failed, finished in _finished(scene, alert.window):
        is_enough = finished > floor * alert.window and failed >= FEWEST
        if is_enough and failed > limit * finished:
            yield subject, f"{share(failed / finished)} of {plural(finished, 'run')} fail; the limit is {share(limit)}"


def celery_task_failing(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that mostly fail, however rarely they run."""
    fewest, part = alert.limits[:2]
    for subject, failed, finished in _finished(scene, alert.window):
        if failed > fewest and failed > part * finished:
            yield subject, f"{failed:.0f} of {plural(finished, 'run')} failed"


def _finished(scene: Scene, window: float) -> Iterator[tuple[Subject, float, float]]:
    """Count the failures and the ends of each task within a window."""
    for task in scene.tasks:
        owner = (task.pool, task.name)
        failed = scene.totals.rise(("task ends", *owner, "failure"), window)
        if failed:
            succeeded = scene.totals.rise(("task ends", *owner, "success"), window)
            yield Subject(pool=task.pool, task=task.name), failed, failed + succeeded


def celery_poison_message(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that kill their processes, and come back, which a pool lets happen every few seconds at most."""
    deaths = _before(scene, alert.window, families.EXCEPTIONS)
    returns = _before(scene, alert.window, families.REDELIVERED)
    for task in scene.tasks:
        lost, back = ("exception", task.pool, task.name, "WorkerLostError"), ("redelivered", task.pool, task.name)
        died = max(scene.totals.rise(lost, alert.window), deaths[lost])
        again = max(scene.totals.rise(back, alert.window), returns[back])
        if died > alert.limits[0] and again > alert.limits[1]:
            figure = f"{plural(died, 'process', 'processes')} died of it, and its messages came back {again:.0f} times"
            yield Subject(pool=task.pool, task=task.name), figure


def _before(scene: Scene, window: float, family: str) -> Counter[families.Key]:
    """Count since their start what processes tell that began within a window, also before they were watched."""
    counted = Counter[families.Key]()
    for each in scene.watched:
        started = next(each.page[STARTED], None)
        if started is not None and scene.now - (started.value or 0.0) <= window:
            for series in each.page[family]:
                for key in series.keys:
                    counted[key] += int(series.value or 0)
    return counted


def celery_retry_storm(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that are retried more often than they end."""
    for task in scene.tasks:
        owner = (task.pool, task.name)
        retried = scene.totals.rise(("task ends", *owner, "retry"), alert.window)
        ended = sum(scene.totals.rise(("task ends", *owner, status), alert.window) for status in ("success", "failure"))
        rate = scene.rate(("task ends", *owner, "retry"), alert.window)
        if rate > alert.limits[0] and retried > ended and retried >= FEWEST:
            yield Subject(pool=task.pool, task=task.name), f"{rate:.2f} retries a second, and fewer ends"


def celery_task_running_too_long(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find runs that take longer than three times the usual; or than an hour, where none has succeeded."""
    never, _, least = alert.limits[:3]
    for each, worker, task, age in usual.runs(scene):
        if age <= min(never, least):
            continue
        pool = each.node(worker).pool
        limit = usual.limit(scene, pool, task) or never
        if age > limit:
            subject = Subject(worker=worker, pool=pool, task=task, url=each.endpoint.url)
            yield subject, f"it has been running for {duration(age)}; unusual is more than {duration(limit)}"


def celery_hard_time_limits(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that are killed for their hard time limit."""
    for task in scene.tasks:
        killed = scene.totals.rise(("timeouts", task.pool, task.name, "hard"), alert.window)
        if killed > alert.limits[0]:
            runs = plural(killed, "run was", "runs were")
            figure = f"{runs} killed for the hard time limit within {duration(alert.window)}"
            yield Subject(pool=task.pool, task=task.name), figure


JUDGES = (
    high_task_failure_rate,
    celery_task_failure_ratio_high,
    celery_task_failing,
    celery_poison_message,
    celery_retry_storm,
    celery_task_running_too_long,
    celery_hard_time_limits,
)
