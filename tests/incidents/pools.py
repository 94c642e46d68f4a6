"""Incidents of pools: every slot hangs, or is full and healthy, or there are too few."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.incidents.incident import Incident

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.incidents.place import Place


class Hung(Incident):
    """Every slot hangs of a pool that acknowledges late and prefetches one: nothing is reserved, and more waits."""

    name = "hung pool"
    pages = {"CeleryPoolHung": 10}
    may_warn = frozenset({"CeleryPoolSaturated"})
    names = {"pool": "allocation"}
    lasts = 11
    worst = True

    def set_up(self, place: Place) -> None:
        """Start a worker, which asks how long its queue is."""
        place.worker("allocation", "prefork", T_PREFETCH="1", OTEL_PYTHON_CELERY_QUEUES="true")

    def begin(self, place: Place) -> None:
        """Send twice as many tasks as there are slots."""
        place.send("late", str(place.file("over")), queue="allocation", number=4)

    def end(self, place: Place) -> None:
        """Let them end."""
        place.file("over").touch()


class Full(Incident):
    """Every slot of a healthy gevent worker is busy for an hour."""

    name = "full, gevent"
    warns = {"CeleryPoolSaturated": 20}
    lasts = 60
    kind = "gevent"

    def set_up(self, place: Place) -> None:
        """Start a worker."""
        place.worker("general", self.kind)

    def begin(self, place: Place) -> None:
        """Send one task more than there are slots; each sends the next one as it ends."""
        place.call("busy", place.seconds(2 / 3), str(place.file("over")), 2, queue="general")

    def end(self, place: Place) -> None:
        """Have them send no more."""
        place.file("over").touch()


class FullOnEventlet(Full):
    """The same of an eventlet worker."""

    name = "full, eventlet"
    kind = "eventlet"


class FullWithoutLoop(Full):
    """The same of a prefork worker on a transport without an event loop, whose consumer is held up meanwhile."""

    name = "full, prefork on SQL"
    kind = "prefork"
    worst = True

    @contextmanager
    def broker(self, directory: Path) -> Iterator[str]:
        """Keep messages in a database."""
        yield f"sqla+sqlite:///{directory / 'broker.db'}"


class Growing(Incident):
    """More is published than the workers take, for more than half an hour."""

    name = "growing queue"
    warns = {
        "CeleryQueueGrowing": 40,
        "CeleryPoolSaturated": 20,
        "CeleryTasksWaitingTooLong": 30,
        "CeleryOldestMessageTooOld": 30,
    }
    lasts, over = 42, 45
    every = 0.5

    def set_up(self, place: Place) -> None:
        """Start a worker, which asks how long its queue is."""
        place.worker("bulk", OTEL_PYTHON_CELERY_QUEUES="true")

    def step(self, place: Place, number: int) -> None:  # noqa: ARG002
        """Publish twelve tasks a minute, of which two can be run."""
        place.send("work", place.seconds(1), queue="bulk", number=6)

    def end(self, place: Place) -> None:
        """Throw away what waits."""
        place.purge("bulk")
