"""Incidents of queues and brokers: nobody consumes, or nobody reaches them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests import rabbitmq
from tests.incidents.incident import Incident
from tests.services import MortalRedis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.incidents.place import Place

TYPO = "tradign"


class Mistyped(Incident):
    """Twenty messages are sent to a mistyped queue, which nobody consumes, and which was named to nobody."""

    name = "mistyped queue"
    pages = {"CeleryQueueNotConsumed": 11}  # ten, but the exporter asks no more often than each second of the clock
    names = {"queue": TYPO}
    lasts, over = 12.5, 12
    worst = True

    def set_up(self, place: Place) -> None:
        """Start a worker, and what asks the broker."""
        place.worker("trading")
        place.queue_exporter()

    def begin(self, place: Place) -> None:
        """Send them."""
        place.send("work", queue=TYPO, number=20)

    def end(self, place: Place) -> None:
        """Throw them away."""
        place.purge(TYPO)


class MistypedOnRabbitMQ(Mistyped):
    """The same on RabbitMQ, whose management API lists its queues."""

    name = "mistyped, RabbitMQ"
    pages = {"CeleryQueueNotConsumed": 13}  # the API tells of a new queue after some seconds of the clock
    lasts = 13.5
    worst = False
    node: rabbitmq.Node

    @contextmanager
    def broker(self, directory: Path) -> Iterator[str]:  # noqa: ARG002  it has one of its own
        """Run a node."""
        with rabbitmq.node(management=True) as self.node:
            yield self.node.url

    def set_up(self, place: Place) -> None:
        """Start a worker, and what asks the broker and its API."""
        place.worker("trading")
        place.queue_exporter(OTEL_PYTHON_CELERY_QUEUES_MANAGEMENT_URL=self.node.management)


class BrokerAway(Incident):
    """The broker of two pools is killed."""

    name = "broker away"
    pages = {"CeleryBrokerAway": 4}
    kept_back = frozenset({"CeleryBrokerDisconnected"})
    over = 30
    worst = True
    server: MortalRedis

    @contextmanager
    def broker(self, directory: Path) -> Iterator[str]:
        """Run a Redis that can be killed."""
        self.server = MortalRedis(directory)
        self.server.start()
        try:
            yield self.server.url
        finally:
            self.server.close()

    def set_up(self, place: Place) -> None:
        """Start two workers, one of which asks how long their queues are."""
        place.worker("trading", OTEL_PYTHON_CELERY_QUEUES="true")
        place.worker("market")

    def begin(self, place: Place) -> None:  # noqa: ARG002
        """SIGKILL."""
        self.server.kill()

    def end(self, place: Place) -> None:  # noqa: ARG002
        """Start it again; the workers find it by themselves."""
        self.server.start()
