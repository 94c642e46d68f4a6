"""What the conditions look at: a fleet at one moment, and what was counted of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.watch.model import State, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.consumed import Consumed
    from otel_celery.watch.families import Key
    from otel_celery.watch.model import Beat, Queue, Task, Worker
    from otel_celery.watch.totals import Totals
    from otel_celery.watch.watched import Watched

Found = tuple[Subject, str]
"""What a condition is about, and its figure in words."""

FEWEST = 3
"""Events at least that make a rate or a ratio of a window that was not watched whole."""
SHORTEST = 60.0
"""Seconds that a rate is of at least: three failures in the first second are not three a second."""
GROWING = 60.0
"""Seconds of watching from which on a queue may be said to grow."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the conditions look at."""

    alerts: Mapping[str, Alert]
    watched: Sequence[Watched]
    totals: Totals
    workers: Sequence[Worker]
    tasks: Sequence[Task]
    queues: Sequence[Queue]
    beats: Sequence[Beat]
    consumed: Consumed
    lengths: Mapping[str, float]
    """By how many messages a second each queue grows."""
    now: float
    """Seconds since the epoch."""

    def rate(self, key: Key, window: float) -> float:
        """Tell a rate a second over a window, of a minute at the least."""
        return self.totals.rise(key, window) / max(self.totals.seconds(window), SHORTEST)

    def pools(self) -> dict[str, list[Worker]]:
        """Group the workers that take tasks."""
        found: dict[str, list[Worker]] = {}
        for worker in self.workers:
            if worker.active is not None and (worker.size or 0) > 0 and worker.state is not State.DRAINING:
                found.setdefault(worker.pool, []).append(worker)
        return found


if TYPE_CHECKING:
    Judge = Callable[[Alert, Scene], Iterator[Found]]


def of_worker(worker: Worker, detail: str = "") -> Subject:
    """Make a worker the subject."""
    return Subject(worker=worker.name, pool=worker.pool, detail=detail, url=worker.url)
