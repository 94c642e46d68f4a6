"""How long a task may run before it is unusual, by how long its successes took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.quantile import quantile
from otel_celery.watch import families

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_celery.watch.scene import Scene
    from otel_celery.watch.watched import Watched

RUNNING_TOO_LONG = "CeleryTaskRunningTooLong"
"""The alert whose numbers these are: an hour where nothing is usual, how many times the usual, and five minutes."""


def limit(scene: Scene, pool: str, task: str) -> float | None:
    """Tell how many seconds a run may take; None if none of the task has succeeded, so that nothing is usual."""
    _, times, least = scene.alerts[RUNNING_TOO_LONG].limits[:3]
    usual = _usual(scene, pool, task)
    return None if usual is None else max(times * usual, least)


def runs(scene: Scene) -> Iterator[tuple[Watched, str, str, float]]:
    """List each worker's oldest run of each task: its endpoint, the worker, the task, and the seconds."""
    for each in scene.watched:
        for worker, task, age in [] if each.why else each.by(families.OLDEST, "task_name"):
            yield each, worker, task, age


def _usual(scene: Scene, pool: str, task: str) -> float | None:
    """Tell the p99 or the mean of a task's successes since its workers started, whichever is more."""
    buckets: dict[float, float] = {}
    total = 0.0
    for each in scene.watched:
        for labels, value in each.page.unwanted(families.RUNTIME):
            if _is_task(each, labels, pool, task):
                bound = families.bound(labels)
                buckets[bound] = buckets.get(bound, 0.0) + value
        totals = each.page.unwanted(families.RUNTIME_SUM)
        total += sum(value for labels, value in totals if _is_task(each, labels, pool, task))
    p99 = quantile(0.99, buckets)
    return None if p99 is None else max(p99, total / buckets[float("inf")])


def _is_task(watched: Watched, labels: Mapping[str, str], pool: str, task: str) -> bool:
    return labels.get("task_name") == task and watched.node(labels.get("worker", "")).pool == pool
