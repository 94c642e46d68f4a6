"""Incidents of what is no worker: beat, publishers, exporters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.incidents.incident import Incident
from tests.integration.stack.servers import debian
from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from tests.incidents.place import Place
    from tests.integration.stack.servers import Server


class BeatStopped(Incident):
    """Beat is killed."""

    name = "beat stopped"
    pages = {"CeleryBeatStopped": 9}
    over = 12
    beat: Server

    def set_up(self, place: Place) -> None:
        """Start it."""
        self.beat = place.beat()

    def begin(self, place: Place) -> None:  # noqa: ARG002
        """SIGKILL."""
        self.beat.process.kill()

    def end(self, place: Place) -> None:
        """Start it again."""
        place.beat()


class PublishingFails(Incident):
    """A web process publishes what cannot be serialised."""

    name = "publishing fails"
    warns = {"CeleryPublishFailures": 3}
    lasts, over = 5, 25

    def set_up(self, place: Place) -> None:
        """Start it."""
        place.publisher()

    def begin(self, place: Place) -> None:
        """Have it publish that."""
        place.file("fails").touch()

    def end(self, place: Place) -> None:
        """Have it publish nothing."""
        place.file("fails").unlink()


class PostgresNotUsed(Incident):
    """PostgreSQL's exporter runs without a PostgreSQL, as it does where none is switched on, and then ends."""

    name = "PostgreSQL not used"
    lasts, over = 20, 1
    exporter: Server

    def set_up(self, place: Place) -> None:
        """Start the exporter, which finds no database."""
        program = debian("prometheus-postgres-exporter", "prometheus-postgres-exporter")
        nowhere = f"postgresql://postgres@{LOOPBACK}:{free_port()}/postgres?sslmode=disable"
        command = [program, f"--web.listen-address={LOOPBACK}:{{port}}"]
        self.exporter = place.command("postgres", command, DATA_SOURCE_NAME=nowhere)
        place.missing.add(self.exporter.port)  # a scrape takes it a second, which is longer than there is

    def begin(self, place: Place) -> None:  # noqa: ARG002
        """SIGKILL."""
        self.exporter.process.kill()


class RedisUnwatched(Incident):
    """The exporter of a Redis that is used ends."""

    name = "Redis exporter down"
    warns = {"RedisExporterDown": 4}
    lasts, over = 6, 12
    exporter: Server

    def set_up(self, place: Place) -> None:
        """Start it."""
        self.exporter = self._start(place)

    def begin(self, place: Place) -> None:  # noqa: ARG002
        """SIGKILL."""
        self.exporter.process.kill()

    def end(self, place: Place) -> None:
        """Start it again."""
        self._start(place)

    @staticmethod
    def _start(place: Place) -> Server:
        program = debian("prometheus-redis-exporter", "prometheus-redis-exporter")
        command = [program, "-redis.addr", place.broker, "-web.listen-address", f"{LOOPBACK}:{{port}}"]
        return place.command("redis", command)
