"""Incidents of workers: they die, stand still, change their name, leave; and one that has nothing to do."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.incidents.incident import Incident
from tests.incidents.place import ended

if TYPE_CHECKING:
    from tests.incidents.place import Place
    from tests.integration.worker.harness import Worker


class Idle(Incident):
    """A healthy worker has nothing to do for an hour."""

    name = "idle"
    lasts, over = 60, 1

    def set_up(self, place: Place) -> None:
        """Start it."""
        place.worker("general", "prefork")


class Dead(Incident):
    """The main process of a pool's only worker is killed."""

    name = "dead worker"
    pages = {"CeleryWorkerDown": 3}
    kept_back = frozenset({"CeleryPoolWithoutWorkers", "CeleryQueueNotConsumed"})
    names = {"worker": "trading@localhost", "pool": "trading"}
    worst = True
    worker: Worker

    def set_up(self, place: Place) -> None:
        """Start it."""
        self.worker = place.worker("trading", "prefork")

    def begin(self, place: Place) -> None:  # noqa: ARG002
        """SIGKILL."""
        ended(self.worker)

    def end(self, place: Place) -> None:
        """Start it again."""
        place.worker("trading", "prefork")


class NeverSeen(Incident):
    """A pool has a target, and never had a worker."""

    name = "never came"
    pages = {"CeleryWorkerDown": 4}
    kept_back = frozenset({"CeleryPoolWithoutWorkers"})
    names = {"worker": "pipeline (never seen)"}
    calm = 0
    worst = True

    def set_up(self, place: Place) -> None:
        """Start nothing."""
        place.nobody("pipeline")

    def end(self, place: Place) -> None:
        """Start it for the first time."""
        place.worker("pipeline")


class Stopped(Incident):
    """A process is stopped: state T."""

    name = "stopped process"
    pages = {"CeleryWorkerDown": 3}
    kept_back = frozenset({"CeleryPoolWithoutWorkers", "CeleryQueueNotConsumed"})
    names = {"worker": "trading@localhost"}
    worst = True
    worker: Worker

    def set_up(self, place: Place) -> None:
        """Start a worker."""
        self.worker = place.worker("trading")

    def begin(self, place: Place) -> None:  # noqa: ARG002
        """SIGSTOP."""
        self.worker.process.send_signal(signal.SIGSTOP)

    def end(self, place: Place) -> None:  # noqa: ARG002
        """SIGCONT."""
        self.worker.process.send_signal(signal.SIGCONT)


class Blocked(Incident):
    """A task blocks the hub of a gevent worker, by which the port is served as well."""

    name = "blocked hub"
    pages = {"CeleryWorkerDown": 3}
    kept_back = frozenset({"CeleryPoolWithoutWorkers"})
    names = {"worker": "market@localhost"}
    worst = True

    def set_up(self, place: Place) -> None:
        """Start a worker on gevent."""
        place.worker("market", "gevent")

    def begin(self, place: Place) -> None:
        """Have a task block."""
        place.send("block", str(place.file("over")), queue="market")

    def end(self, place: Place) -> None:
        """Let it go."""
        place.file("over").touch()


class Stuck(Incident):
    """Something holds up the event loop of a prefork worker, which has free slots, and whose port answers."""

    name = "stuck loop"
    pages = {"CeleryWorkerStuck": 2}
    names = {"worker": "market@localhost"}
    lasts = 8

    def set_up(self, place: Place) -> None:
        """Start a worker."""
        place.worker("market", "prefork")

    def begin(self, place: Place) -> None:
        """Have a command of the remote control not return."""
        place.control("hold", path=str(place.file("over")))

    def end(self, place: Place) -> None:
        """Let it return."""
        place.file("over").touch()


class Renamed(Incident):
    """A worker has another node name after a deploy, at the same address; ten minutes later it dies."""

    name = "new node name"
    pages = {"CeleryWorkerDown": 15}
    kept_back = frozenset({"CeleryPoolWithoutWorkers"})
    names = {"worker": "celery-2@localhost"}
    lasts, over = 12, 30
    worker: Worker

    def set_up(self, place: Place) -> None:
        """Start it under its first name."""
        self.worker = place.behind("front", "market", named="celery-1")

    def begin(self, place: Place) -> None:
        """Put another one in its place, and kill that ten minutes later."""
        second = place.behind("front", "market", named="celery-2")
        ended(self.worker)
        place.sleep(10)
        ended(second)

    def end(self, place: Place) -> None:
        """Start the third."""
        place.behind("front", "market", named="celery-3")


class Draining(Incident):
    """A deploy: the worker that goes still has a task for half an hour, and then another one is in its place."""

    name = "long drain"
    may_warn = frozenset({"CeleryWorkerDrainingTooLong"})  # which has half an hour as its limit
    lasts, over = 30, 12
    worst = True
    worker: Worker

    def set_up(self, place: Place) -> None:
        """Start it."""
        self.worker = place.behind("front", "pipeline")

    def begin(self, place: Place) -> None:
        """Give it a long task, and ask it to end; meanwhile messages come."""
        place.send("late", str(place.file("over")), queue="pipeline")
        place.sleep(2)
        self.worker.process.send_signal(signal.SIGTERM)

    def end(self, place: Place) -> None:
        """Start the next one, and let the task end."""
        place.behind("front", "pipeline")
        place.file("over").touch()
        place.sleep(self.over / 2)


class OneName(Incident):
    """Two workers of a pool have one node name."""

    name = "one name for two"
    warns = {"CeleryNodeNameTwice": 18}
    lasts, over = 20, 10
    second: Worker

    def set_up(self, place: Place) -> None:
        """Start two workers."""
        place.worker("orders")
        place.behind("front", "orders", named="orders-2")

    def begin(self, place: Place) -> None:
        """Have the second come back with the first one's name."""
        place.behind("front", "orders", named="orders")

    def end(self, place: Place) -> None:
        """Give it a name of its own again."""
        place.behind("front", "orders", named="orders-2")
