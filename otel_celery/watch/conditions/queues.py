"""Conditions of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch import families
from otel_celery.watch.model import State, Subject
from otel_celery.watch.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.scene import Found, Scene


def celery_queue_not_consumed(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find queues where messages wait, and nobody takes them; not while a pool that consumed it drains."""
    draining = {worker.pool for worker in scene.workers if worker.state is State.DRAINING}
    for queue in scene.queues:
        pools = scene.consumed.pools(queue.name)
        if queue.length and not queue.consumers and draining.isdisjoint(pools):
            figure = plural(
                queue.length, "message waits, and no worker takes it", "messages wait, and no worker takes them"
            )
            yield Subject(queue=queue.name, pool=pools[-1] if pools else ""), figure


def celery_queue_growing(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find long queues that grow."""
    slope, floor = alert.limits[:2]
    for queue in scene.queues:
        growth = scene.lengths.get(queue.name, 0.0)
        if growth > slope and (queue.length or 0) > floor:
            length = plural(queue.length or 0, "message")
            yield Subject(queue=queue.name), f"it holds {length}, and {growth:.1f} more each second"


def celery_oldest_message_too_old(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find queues with an old message."""
    for queue in scene.queues:
        if (queue.oldest or 0) > alert.limits[0]:
            figure = f"its oldest message is {duration(queue.oldest)} old; the limit is {duration(alert.limits[0])}"
            yield Subject(queue=queue.name), figure


def celery_queues_unseen(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find exporters of queues that have not heard of their broker."""
    for each in scene.watched:
        refreshed = next(each.page[families.REFRESHED], None)
        age = scene.now - (refreshed.value or 0.0) if refreshed else 0.0
        if age > alert.limits[0]:
            why = f": {each.why}" if each.why else ""
            subject = Subject(pool=each.endpoint.pool, detail=each.endpoint.address, url=each.endpoint.url)
            yield subject, f"the queues were last read {duration(age)} ago{why}"


JUDGES = (celery_queue_not_consumed, celery_queue_growing, celery_oldest_message_too_old, celery_queues_unseen)
