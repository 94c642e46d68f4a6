"""Conditions of workers' connections to their broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch import families
from otel_celery.watch.model import State, Subject
from otel_celery.watch.scene import of_worker
from otel_celery.watch.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.scene import Found, Scene


def celery_broker_away(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find that not one worker has its broker, until one has had it for a minute: the others try again by then."""
    alive = [w for w in scene.workers if w.active is not None and w.state is not State.DRAINING]
    connected = _connected(scene)
    having = [worker for worker in alive if connected.get((worker.url, worker.name))]
    if alive and not having:
        who = "the only worker has no" if len(alive) == 1 else f"none of {len(alive)} workers has a"
        yield Subject(detail="broker"), f"{who} connection to the broker: no task is received"
    elif alive and all(scene.totals.rise(("unconnected", w.url, w.name), alert.window) for w in having):
        who = plural(len(having), "worker has", "workers have")
        yield Subject(detail="broker"), f"{who} the broker again, for less than {duration(alert.window)}"


def celery_broker_disconnected(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers without their broker."""
    connected = _connected(scene)
    for worker in scene.workers:
        if connected.get((worker.url, worker.name), 1) == 0 and worker.state is not State.DRAINING:
            yield of_worker(worker), "it has no connection to its broker: it takes no tasks"


def _connected(scene: Scene) -> dict[tuple[str, str], float]:
    return {
        (each.endpoint.url, worker): value
        for each in scene.watched
        if not each.why
        for worker, value in each.values(families.CONNECTED).items()
    }


def celery_broker_connection_unstable(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that keep losing their broker."""
    for worker in scene.workers:
        times = scene.totals.rise(("reconnects", worker.url, worker.name), alert.window)
        if times > alert.limits[0]:
            yield of_worker(worker), f"it had to reconnect {plural(times, 'time')} within {duration(alert.window)}"


JUDGES = (celery_broker_away, celery_broker_disconnected, celery_broker_connection_unstable)
