"""What is wrong now: with the broker, its queues and the workers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from otel_celery.watch import families
from otel_celery.watch.alerts import CRITICAL
from otel_celery.watch.finding import WARNING, Finding, listed
from otel_celery.watch.model import State, Subject
from otel_celery.watch.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from otel_celery.watch.finding import Broker
    from otel_celery.watch.model import View, Worker
    from otel_celery.watch.watched import Watched

LONG = 10.0
"""Seconds for which the oldest task of a full worker has to run, unless others wait: a burst is no trouble."""


def away(broker: Broker | None) -> Iterator[Finding]:
    """Find that the broker does not answer."""
    if broker is not None and broker.why:
        yield Finding(
            "BrokerAway",
            CRITICAL,
            Subject(detail="broker"),
            f"the broker {broker.place} does not answer: {broker.why}",
            "See that it runs, and that this host may reach it; workers connect again by themselves.",
            "CeleryBrokerAway",
        )


def unconsumed(view: View, broker: Broker | None, drained: Collection[str] = ()) -> Iterator[Finding]:
    """Find queues with messages that no worker here consumes, by the broker's word or the exporter's.

    Not those whose workers drain: that is a deploy.
    """
    shown = {queue.name: queue for queue in view.queues}
    told = {name: queue.length or 0 for name, queue in shown.items()} | dict(broker.lengths if broker else {})
    consumed = {queue for worker in view.workers if worker.state is not State.AWAY for queue in worker.queues}
    for name, length in sorted(told.items()):
        queue = shown.get(name)
        if not length or name in consumed or name in drained or (queue is not None and queue.consumers):
            continue
        age = f", the oldest for {duration(queue.oldest)}" if queue is not None and queue.oldest else ""
        yield Finding(
            "QueueNotConsumed",
            CRITICAL,
            Subject(queue=name),
            f"no worker that answers here consumes the queue {name}, which holds {plural(length, 'message')}{age}",
            f"Start a worker with -Q {name}, or correct the route (task_routes) that leads there.",
            "CeleryQueueNotConsumed",
        )


def full(watched: Iterable[Watched], views: Sequence[View]) -> Iterator[Finding]:
    """Find workers whose slots were all busy at each look, and which have a long task, or as many more waiting.

    Not those that drain: they take no more, and an alert tells of those that do not end.
    """
    pages = {each.endpoint.url: each for each in watched}
    before = {(worker.url, worker.name) for worker in views[0].workers if _is_full(worker)}
    for worker in views[-1].workers:
        is_for_long = (worker.oldest or 0.0) >= LONG or (worker.reserved or 0) >= (worker.size or 0)
        if not (_is_full(worker) and (worker.url, worker.name) in before and is_for_long):
            continue
        oldest = pages[worker.url].by(families.OLDEST, "task_name")
        tasks = listed(sorted({task for name, task, _ in oldest if name == worker.name}))
        yield Finding(
            "WorkerFull",
            WARNING,
            Subject(worker=worker.name, pool=worker.pool, url=worker.url),
            f"{worker.name} is full ({worker.active} of {worker.size}) with tasks of {tasks}{_waiting(worker)}",
            "Give the pool more slots or workers, or slow tasks a pool of their own; a time limit ends what hangs.",
            "CeleryPoolSaturated",
        )


def _is_full(worker: Worker) -> bool:
    return worker.state is not State.DRAINING and 0 < (worker.size or 0) <= (worker.active or 0)


def _waiting(worker: Worker) -> str:
    oldest = "" if worker.oldest is None else f", the oldest for {duration(worker.oldest)}"
    more = plural(worker.reserved or 0, "more task waits", "more tasks wait")
    return f"{oldest}, and {more} in it" if worker.reserved else oldest


def twice(view: View) -> Iterator[Finding]:
    """Find workers of one name, whose commands and replies Celery cannot tell apart."""
    alive = [worker for worker in view.workers if worker.state not in {State.AWAY, State.FOREIGN}]
    for name, number in Counter(worker.name for worker in alive).items():
        if number > 1:
            same = [worker for worker in alive if worker.name == name]
            yield Finding(
                "NodeNameTwice",
                WARNING,
                Subject(worker=name, pool=same[0].pool),
                f"{number} workers have one name, {name}: those at {listed(sorted(each.url for each in same))}",
                "Give each a name of its own: -n trading1@%h.",
                "CeleryNodeNameTwice",
            )
