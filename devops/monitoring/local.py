"""``make monitoring``: Prometheus, Alertmanager and the exporters, from what is installed here, on loopback alone.

Docker runs the compose file as it is. Without Docker the same programs are run with the committed files and compose's
options, from ``PATH`` (the distribution's packages) or from what ``python -m tests.tools`` has built. Their data is in
a directory that is removed at the end; Ctrl-C ends all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from otel_celery.masking import keep_user, masked_url
from otel_celery.pools.command import Command
from otel_celery.pools.runner import Runner
from otel_celery.settings import brokers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"
BROKER = "redis://127.0.0.1:6379/0"
QUEUES = "trading,pipeline,allocation,market,general,celery"
SLOW = 60.0
"""Seconds after which a program that does not listen is told of."""


@dataclass(frozen=True)
class Program:
    """One program of the stack: its names on PATH, its port, and compose's options."""

    name: str
    binaries: tuple[str, ...]
    port: int
    options: tuple[str, ...]
    """``{data}`` is a directory of its own, ``{files}`` this one, ``{listen}`` its address."""
    environ: Mapping[str, str] = field(default_factory=dict)
    path: str = "/"


def programs(broker: str, environ: Mapping[str, str]) -> tuple[Program, ...]:
    """Describe the stack for a broker; PostgreSQL is found by compose's variables."""
    postgres = {
        "DATA_SOURCE_URI": environ.get("POSTGRES_URI", f"{LOOPBACK}:5432/postgres?sslmode=disable"),
        "DATA_SOURCE_USER": environ.get("POSTGRES_USER", "postgres"),
        "DATA_SOURCE_PASS": environ.get("POSTGRES_PASSWORD", "postgres"),
    }
    listen = "--web.listen-address={listen}"
    config = ("--config.file={files}/prometheus.yml", "--web.config.file={files}/web-config.yml")
    alerts = ("--config.file={files}/alertmanager.yml", "--cluster.listen-address=", "--storage.path={data}")
    queues = ("-m", "otel_celery.cli", "queues", "serve", "--port=9106", f"--queue={QUEUES}")
    found = (
        Program("prometheus", ("prometheus",), 9090, (*config, "--storage.tsdb.path={data}", listen)),
        Program("alertmanager", ("prometheus-alertmanager", "alertmanager"), 9093, (*alerts, listen)),
        Program("queues", (sys.executable,), 9106, queues, {brokers.CONSUMED: broker}, "/metrics"),
        Program(
            "postgres-exporter",
            ("prometheus-postgres-exporter", "postgres_exporter"),
            9187,
            (listen,),
            postgres,
            "/metrics",
        ),
    )
    if not broker.startswith(("redis://", "rediss://")):
        return found
    keys = (listen, f"--check-single-keys={QUEUES}")
    redis = ("prometheus-redis-exporter", "redis_exporter")
    return (*found, Program("redis-exporter", redis, 9121, keys, {"REDIS_ADDR": broker}, "/metrics"))


def binary(program: Program) -> str | None:
    """Find a program: on PATH, or what the tests' tools have built, which has no pages for a browser."""
    if found := next((path for name in program.binaries if (path := shutil.which(name))), None):
        return found
    with suppress(ImportError, StopIteration):
        from tests import tools  # noqa: PLC0415  a deployment may have no tests

        return tools.find(program.name)
    return None


def command(program: Program, path: str, data: Path) -> Command:
    """Make the command of a program whose data is in ``data``."""
    own = data / program.name
    own.mkdir()
    words = {"data": own, "files": HERE, "listen": f"{LOOPBACK}:{program.port}"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PROMETHEUS_", "OTEL_"))}
    return Command(
        program.name, (path, *(option.format(**words) for option in program.options)), {**environ, **program.environ}
    )


def compose() -> list[str] | None:
    """Give the command of Docker's compose file for this system, if a Docker answers here."""
    file = HERE / f"docker-compose.{'monitoring' if sys.platform.startswith('linux') else 'desktop'}.yml"
    docker = ["docker", "compose", "-f", str(file)]
    try:
        for question in (["docker", "info"], [*docker, "version"]):
            subprocess.run(question, capture_output=True, check=True, timeout=20)  # noqa: S603  our own words
    except (OSError, subprocess.SubprocessError):
        return None
    return [*docker, "up"]


def taken(found: Iterable[Program]) -> Iterator[Program]:
    """Yield the programs whose port somebody listens on: the distribution starts its own at boot."""
    for program in found:
        if asyncio.run(_listens(program.port)):
            yield program


async def run(found: Sequence[tuple[Program, str]], data: Path) -> int:
    """Run the programs until Ctrl-C; print each address once it answers."""
    log = data / "log"
    with log.open("w", encoding="utf-8") as output:
        runner = Runner([command(program, path, data) for program, path in found], output)
        print(f"Their log: {log}\nCtrl-C ends all of them.", flush=True)  # noqa: T201  a command
        told = asyncio.gather(*(_tell(program, runner.stopping) for program, _ in found))
        status = await runner.run()
        told.cancel()
    return status


async def _tell(program: Program, stopping: asyncio.Event) -> None:
    began = time.monotonic()
    while not await _listens(program.port):
        if stopping.is_set():
            return
        if time.monotonic() - began > SLOW:
            print(f"{program.name:<18} does not answer: its log tells why", flush=True)  # noqa: T201  as above
            return
        await asyncio.sleep(0.1)
    print(f"{program.name:<18} http://localhost:{program.port}{program.path}", flush=True)  # noqa: T201  as above


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


def main() -> int:
    """Start what is here; return the exit status: 78 if a port is taken, or there is no Prometheus."""
    parser = argparse.ArgumentParser(prog="make monitoring", description=__doc__)
    parser.add_argument("--broker", default=brokers.consumed(os.environ) or BROKER)
    broker = parser.parse_args().broker
    keep_user(broker)
    if (docker := compose()) is not None:
        print("Docker: Prometheus on http://localhost:9090, Grafana on http://localhost:3001 (admin/admin)", flush=True)  # noqa: T201
        environ = {**os.environ, "CELERY_BROKER_URL": broker}
        return subprocess.run(docker, env=environ, check=False).returncode  # noqa: S603  as above
    stack = programs(broker, os.environ)
    found = [(program, path) for program in stack if (path := binary(program))]
    names = {program.name for program, _ in found}
    for program in stack:
        if program.name not in names:
            print(f"{program.name:<18} is not installed ({' or '.join(program.binaries)})", flush=True)  # noqa: T201
    if "prometheus" not in names:
        print("Error: there is neither Docker nor Prometheus here: apt-get install prometheus", file=sys.stderr)  # noqa: T201
        return 78
    if busy := list(taken(program for program, _ in found)):
        ports = ", ".join(f"{program.port} ({program.name})" for program in busy)
        print(f"Error: taken already: {ports}; a service of the distribution? systemctl stop ends it", file=sys.stderr)  # noqa: T201
        return 78
    print(f"The broker whose queues are shown: {masked_url(broker)} (BROKER=...)", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="otel-celery-monitoring-", ignore_cleanup_errors=True) as data:
        return asyncio.run(run(found, Path(data)))


if __name__ == "__main__":
    sys.exit(main())
