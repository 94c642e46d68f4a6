"""Conditions of pools: their slots, and what waits for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch import telling
from otel_celery.watch.conditions import usual
from otel_celery.watch.model import Subject
from otel_celery.watch.words import duration, plural, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.model import Worker
    from otel_celery.watch.scene import Found, Scene


def celery_pool_saturated(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose slots have been busy."""
    for pool, members in scene.pools().items():
        slots = scene.totals.rise(("slots", pool), alert.window)
        busy = scene.totals.rise(("busy", pool), alert.window)
        now = sum(w.active or 0 for w in members) / sum(w.size or 0 for w in members)
        ratio = busy / slots if slots else now
        if ratio > alert.limits[0]:
            seconds = min(scene.totals.seconds(alert.window), alert.window)
            figure = f"{share(ratio)} of its slots were busy over {duration(seconds)}; the limit is"
            yield Subject(pool=pool), f"{figure} {share(alert.limits[0])}"


def celery_tasks_waiting_too_long(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose tasks wait."""
    for pool in scene.pools():
        wait = telling.pool_wait(scene.totals, pool, scene.tasks, alert.window)
        if wait is not None and wait > alert.limits[0]:
            figure = f"one task in twenty waits longer than {duration(wait)}; the limit is {duration(alert.limits[0])}"
            yield Subject(pool=pool), figure


def celery_pool_hung(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose slots are all taken, by runs beyond their usual; nothing starts or ends, and more waits."""
    for pool, members in scene.pools().items():
        is_full = all((w.active or 0) >= (w.size or 0) for w in members)
        is_stopped = is_full and _is_still(scene, pool, alert.window, is_ended=True) and _is_waiting(scene, members)
        if is_stopped and not _is_merely_long(scene, pool):
            oldest = max(members, key=lambda worker: worker.oldest or 0)
            slots = sum(w.size or 0 for w in members)
            taken = "its only slot is taken" if slots == 1 else f"all {slots} slots are taken"
            figure = f"{taken}, and nothing starts or ends"
            yield Subject(pool=pool), f"{figure}; {oldest.oldest_task} has run for {duration(oldest.oldest)}"


def celery_tasks_not_starting(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools where tasks wait in workers with a free slot, and none starts."""
    for pool, members in scene.pools().items():
        reserved = sum(w.reserved or 0 for w in members if (w.active or 0) < (w.size or 0))
        if reserved and _is_still(scene, pool, alert.window, is_ended=False):
            yield Subject(pool=pool), f"{plural(reserved, 'task waits', 'tasks wait')} in its workers, and none starts"


def _is_still(scene: Scene, pool: str, window: float, *, is_ended: bool) -> bool:
    """Tell whether a pool has started nothing in a window that was watched whole; nor ended anything, if asked."""
    if scene.totals.seconds(window) < window or scene.totals.rise(("started", pool), window):
        return False
    statuses = ("success", "failure", "retry", "unreported") if is_ended else ("unreported",)
    tasks = (task.name for task in scene.tasks if task.pool == pool)
    return not any(scene.totals.rise(("task ends", pool, task, s), window) for task in tasks for s in statuses)


def _is_merely_long(scene: Scene, pool: str) -> bool:
    """Tell whether a run of the pool's is within what is usual of its task."""
    return any(
        age <= (usual.limit(scene, pool, task) or 0)
        for each, worker, task, age in usual.runs(scene)
        if each.node(worker).pool == pool
    )


def _is_waiting(scene: Scene, members: Sequence[Worker]) -> bool:
    queues = {queue for worker in members for queue in worker.queues}
    return any(w.reserved for w in members) or any(q.length for q in scene.queues if q.name in queues)


JUDGES = (celery_pool_saturated, celery_tasks_waiting_too_long, celery_pool_hung, celery_tasks_not_starting)
