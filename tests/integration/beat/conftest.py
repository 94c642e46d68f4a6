"""Fixtures that start real beats, and end them whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import redis

from tests.integration.worker.conftest import Site, database, open_site
from tests.integration.worker.harness import PATIENCE, ROOT, Worker, wait_until
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECT = "tests.integration.beat.proj"


class Beat(Worker):
    """One ``celery beat`` process."""

    def wait_for(self, name: str, at_least: float = 1, **labels: str) -> float:
        """Wait until a figure has come to this, and return it."""

        def reached() -> float:
            assert self.process.poll() is None, self.log
            try:
                value = self.scrape().value(name, **labels)
            except OSError:
                return 0
            return value if value >= at_least else 0

        try:
            return wait_until(reached, f"{name} is {at_least}")
        except AssertionError as error:
            message = f"{error}\n{self.log[-4000:]}"
            raise AssertionError(message) from None

    def ended(self) -> int:
        """End it, and give its exit status; one that goes on is told again.

        Beat's handler of SIGTERM writes the schedule before it raises SystemExit. While a query of its own is under way
        django-celery-beat cannot ("database is locked"), and goes on: without otel-celery as well, in 18 of 60 tries.
        """
        for _ in range(10):
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(PATIENCE / 10)
        return self.stop()

    def answers(self, path: str) -> tuple[int, str]:
        """Ask a probe; status 0 for a port that is closed."""
        try:
            return self.get(path)
        except OSError:
            return 0, ""


@dataclass
class Yard:
    """A broker, and the beats that send to it."""

    site: Site

    @property
    def queued(self) -> int:
        """Count the messages that wait at the broker."""
        with redis.Redis.from_url(self.site.broker) as server:
            return int(server.llen("celery"))

    def environment(self, port: int, **more: str) -> dict[str, str]:
        """Make the environment of a beat, or of a worker with one, which has nothing of the tests' own."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PROMETHEUS_"))}
        return {
            **clean,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PROMETHEUS_ENABLED": "true",
            "PROMETHEUS_PORT": str(port),
            "T_BROKER": self.site.broker,
            "T_REDBEAT": database(self.site.broker, 3),
            "T_SCHEDULE": str(self.site.directory / "schedule"),
            "T_DATABASE": str(self.site.directory / "beat.sqlite"),
            "T_STUCK": str(self.site.directory / "stuck"),
            **more,
        }

    def start(
        self,
        *arguments: str,
        app: str = PROJECT,
        launcher: str = f"{sys.executable} -m celery",
        command: str = "beat",
        **environment: str,
    ) -> Beat:
        """Start a beat, or another of Celery's commands, on a port that is free now."""
        port = free_port()
        full = self.environment(port, **environment)
        log = self.site.directory / f"{command}-{port}.log"
        words = [*launcher.split(), "-A", app, command, "-l", "INFO", *arguments]
        with log.open("wb") as out:
            process = subprocess.Popen(words, cwd=ROOT, env=full, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        beat = Beat(command, port, process, log, log.with_suffix(".record"), full)
        self.site.stack.callback(_end, beat)
        return beat

    def migrate(self) -> None:
        """Make the database of django-celery-beat."""
        words = [sys.executable, "-m", "tests.integration.beat.django_proj"]
        subprocess.run(words, cwd=ROOT, env=self.environment(0), check=True, capture_output=True)


@pytest.fixture
def yard(redis_url: str, tmp_path: Path) -> Iterator[Yard]:
    """Give an empty broker."""
    with redis.Redis.from_url(database(redis_url, 3)) as server:
        server.flushdb()
    with open_site(database(redis_url, 1), database(redis_url, 2), tmp_path) as site:
        yield Yard(site)


def _end(beat: Beat) -> None:
    """End a process in order: a worker that is killed leaves its beat behind, which would send on."""
    if beat.process.poll() is None:
        beat.process.terminate()
        try:
            beat.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            beat.process.kill()
            beat.process.wait()
