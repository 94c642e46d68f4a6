"""The whole stack, or one service of it: real binaries, run with the commands, files and environment of compose."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests import services
from tests.integration.stack import composition
from tests.integration.stack.servers import FreePorts, Server, copied, debian, prometheus_binary, repointed, start
from tests.services import LOOPBACK, require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

POSTGRES = Path("/usr/lib/postgresql/15/bin")

PROGRAMS = {
    "alertmanager": ("prometheus-alertmanager", "prometheus-alertmanager", 9093, "/-/ready"),
    "redis-exporter": ("prometheus-redis-exporter", "prometheus-redis-exporter", 9121, "/"),
    "postgres-exporter": ("prometheus-postgres-exporter", "prometheus-postgres-exporter", 9187, "/"),
    "victoria-metrics": ("victoria-metrics", "victoria-metrics", 8428, "/health"),
}
"""Compose's service: the program, its Debian package, its port, and a path that answers once it is ready."""


@dataclass
class Site:
    """A copy of devops/monitoring with free ports, in a directory that a user without rights may read."""

    directory: Path
    ports: FreePorts = field(default_factory=FreePorts)

    def __post_init__(self) -> None:
        """Copy the files."""
        self.copy = copied(self.directory / "monitoring", self.ports)

    @contextmanager
    def service(self, name: str) -> Iterator[Server]:
        """Run one of PROGRAMS as compose runs its image."""
        program, package, port, ready = PROGRAMS[name]
        with self._start(name, [debian(program, package)], port, ready) as server:
            yield server

    @contextmanager
    def prometheus(self, version: str = "3.13", *, credentials: str | None = None) -> Iterator[Server]:
        """Run Prometheus as compose runs its image."""
        with self._start("prometheus", [prometheus_binary(version)], 9090, "/-/ready", credentials) as server:
            yield server

    @contextmanager
    def redis(self) -> Iterator[str]:
        """Run Redis as the profile does, and give its URL."""
        port = self.ports[6379]
        command = [debian("redis-server", "redis-server"), *self._ported(composition.services()["redis"].command[1:])]
        where = composition.volume(self.copy, "redis-data")
        with services._child(command, where / "redis.out", os.environ, lambda: services._accepts(port)):
            yield f"redis://{LOOPBACK}:{port}/0"

    @contextmanager
    def postgres(self) -> Iterator[Mapping[str, str]]:
        """Run PostgreSQL as the profile does, by a user without rights, and give its environment."""
        service = composition.services()["postgres"]
        port = self.ports[5432]
        data = self._database(service.environment)
        command = [*services._as_nobody(), str(POSTGRES / "postgres"), *self._ported(service.command[1:])]
        command += ["-D", str(data)]
        command += ["-c", "unix_socket_directories="]  # nobody needs one, and a long path is none
        with services._child(command, data.parent / "postgres.out", os.environ, lambda: services._accepts(port)):
            yield service.environment

    @contextmanager
    def queue_exporter(self, broker: str, *more: str) -> Iterator[Server]:
        """Run the queue exporter as compose runs our image, and have it watch ``more`` queues."""
        service = composition.services()["queue-exporter"]
        command = [str(Path(sys.executable).parent / "otel-celery"), *service.arguments(self.copy, self.ports)]
        command += [f"--queue={name}" for name in more]
        environ = {**service.settings(self.ports), "CELERY_BROKER_URL": broker}
        with start(command, self.ports[9106], self.directory, ready="/-/ready", environ=environ) as server:
            yield server

    @contextmanager
    def collector(self) -> Iterator[Server]:
        """Run the Collector as the profile does."""
        service = composition.services()["collector"]
        (source,) = service.files.values()
        config = self.directory / source.name
        config.write_text(repointed(source.read_text(), self.ports))
        command = [services.built("otelcol-celery"), f"--config={config}"]
        with start(
            command, self.ports[13133], self.directory, ready="/", environ=service.settings(self.ports)
        ) as server:
            yield server

    def check(self, name: str) -> subprocess.CompletedProcess[str]:
        """Ask a service's health check, with the shell and the wget that the images have: busybox's."""
        kind, *command = self._ported(composition.services()[name].check)
        if kind == "CMD-SHELL":
            command = ["sh", "-c", *command]
        applets = self.directory / "applets"
        if not applets.exists():
            applets.mkdir()
            busybox = debian("busybox", "busybox")
            subprocess.run([busybox, "--install", "-s", str(applets)], check=True)
        path = f"{Path(sys.executable).parent}:{applets}:{POSTGRES}:{os.environ['PATH']}"
        found = require(shutil.which(command[0], path=path), f"{command[0]} is not installed")
        environ = {**os.environ, "PATH": path}
        return subprocess.run([found, *command[1:]], env=environ, capture_output=True, text=True, check=False)

    def _ported(self, words: Sequence[str]) -> list[str]:
        return shlex.split(repointed(shlex.join(words), self.ports))

    @contextmanager
    def _start(
        self, name: str, program: Sequence[str], port: int, ready: str, credentials: str | None = None
    ) -> Iterator[Server]:
        service = composition.services()[name]
        command = [*program, *service.arguments(self.copy, self.ports)]
        settings = service.settings(self.ports)
        logs = self.directory / "logs"
        logs.mkdir(exist_ok=True)
        with start(command, self.ports[port], logs, ready=ready, environ=settings, credentials=credentials) as server:
            yield server

    def _database(self, environment: Mapping[str, str]) -> Path:
        """Make a database as the image's entry point does: the user of the environment, with its password."""
        data = composition.volume(self.copy, "postgres-data")
        secret = data.parent / "postgres-password"
        secret.write_text(environment["POSTGRES_PASSWORD"])
        if os.geteuid() == 0:
            os.chown(data, services.NOBODY, services.NOBODY)
        initdb = require(shutil.which(POSTGRES / "initdb"), "PostgreSQL is not installed: apt-get install postgresql")
        command = [*services._as_nobody(), initdb, "-D", str(data), "--no-sync", "-U", environment["POSTGRES_USER"]]
        command += ["--auth=scram-sha-256", f"--pwfile={secret}"]
        subprocess.run(command, check=True, capture_output=True)
        return data


@contextmanager
def site() -> Iterator[Site]:
    """Make a site that goes with the ``with``."""
    with tempfile.TemporaryDirectory(prefix="otel-celery-stack-") as name:
        Path(name).chmod(0o755)  # PostgreSQL's user has to come through
        yield Site(Path(name))
