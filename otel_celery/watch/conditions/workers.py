"""Conditions of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch.model import State, Subject
from otel_celery.watch.scene import of_worker
from otel_celery.watch.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.model import Worker
    from otel_celery.watch.scene import Found, Scene


def celery_worker_down(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that are not ready, or do not answer."""
    for worker in scene.workers:
        if worker.state in {State.AWAY, State.STARTING}:
            yield of_worker(worker), worker.why


def not_otel_celery(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find ports at which something else answers."""
    for worker in scene.workers:
        if worker.state is State.FOREIGN:
            yield of_worker(worker), worker.why


def celery_node_name_twice(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers of one name at several endpoints."""
    urls: dict[str, list[Worker]] = {}
    for worker in scene.workers:
        if worker.state not in {State.AWAY, State.FOREIGN}:
            urls.setdefault(worker.name, []).append(worker)
    for name, same in urls.items():
        if len(same) > alert.limits[0]:
            subject = Subject(worker=name, pool=same[0].pool)
            yield subject, f"{len(same)} endpoints say that they are {name}: {', '.join(w.url for w in same)}"


def celery_worker_flapping(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that were started again and again."""
    for worker in scene.workers:
        starts = scene.totals.rise(("starts", worker.url), alert.window)
        if starts > alert.limits[0]:
            yield of_worker(worker), f"it was started anew {plural(starts, 'time')} within {duration(alert.window)}"


def celery_worker_stuck(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers whose event loop stands still."""
    for worker in scene.workers:
        if worker.state is State.STUCK:
            yield of_worker(worker), worker.why


def celery_worker_draining_too_long(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that were told to stop."""
    for worker in scene.workers:
        if worker.state is State.DRAINING:
            running = f"; {worker.oldest_task} has run for {duration(worker.oldest)}" if worker.oldest else ""
            yield of_worker(worker), f"it still waits for {plural(worker.active or 0, 'running task')}{running}"


def celery_processes_lost(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers whose children are killed, or leave."""
    for worker in scene.workers:
        for reason, verb, verbs in (("killed", "was killed", "were killed"), ("exited", "has left", "have left")):
            lost = scene.totals.rise(("exits", worker.url, worker.name, reason), alert.window)
            if lost > alert.limits[0]:
                what = plural(lost, f"pool process {verb}", f"pool processes {verbs}")
                yield of_worker(worker, reason), f"{what} within {duration(alert.window)}"


def celery_scrape_failing(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find endpoints that come and go."""
    for worker in scene.workers:
        changes = scene.totals.rise(("changes", worker.url), alert.window)
        if changes > alert.limits[0] and not scene.totals.rise(("starts", worker.url), alert.window):
            yield of_worker(worker), f"it came and went {plural(changes, 'time')} within {duration(alert.window)}"


JUDGES = (
    celery_worker_down,
    not_otel_celery,
    celery_node_name_twice,
    celery_worker_flapping,
    celery_worker_stuck,
    celery_worker_draining_too_long,
    celery_processes_lost,
    celery_scrape_failing,
)
