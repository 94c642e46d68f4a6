"""The documented stack at work: the demo's five pools under load, their broker, both exporters, and a Prometheus.

The Prometheus reads the committed files; only addresses and intervals are others, so that a minute shows enough.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests import services
from tests.pools.fleet import Fleet, otel_celery
from tests.stack.servers import (
    MONITORING,
    FreePorts,
    debian,
    repointed,
    start,
    start_alertmanager,
    start_prometheus,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.servers import Server

POOLS = {"trading": 9101, "pipeline": 9102, "allocation": 9103, "market": 9104, "general": 9105}
POSTGRES = "/usr/lib/postgresql/15/bin"
EVERY = re.compile(r"(scrape_interval|scrape_timeout|evaluation_interval|interval): *\w+")
"""How often something is done, in the configuration and in the rules."""


@contextmanager
def running(directory: Path) -> Iterator[Server]:
    """Start all of it; give the Prometheus."""
    ports = FreePorts()
    with ExitStack() as stack:
        broker = stack.enter_context(services.redis_server())
        stack.enter_context(redis_exporter(broker, ports[9121], directory))
        stack.enter_context(postgres_exporter(stack.enter_context(postgres()), ports[9187], directory))
        stack.enter_context(demo(broker, ports, directory))
        copied = hastened(directory / "monitoring", ports)
        stack.enter_context(start_alertmanager(copied / "alertmanager.yml", directory, port=ports[9093]))
        yield stack.enter_context(start_prometheus(copied / "prometheus.yml", directory, port=ports[9090]))


def hastened(copy: Path, ports: FreePorts) -> Path:
    """Copy the configuration with free ports, and with two seconds in place of every interval."""
    shutil.copytree(MONITORING, copy)
    for file in copy.glob("*.yml"):
        file.write_text(EVERY.sub(r"\1: 2s", repointed(file.read_text(), ports)))
    return copy


@contextmanager
def demo(broker: str, ports: FreePorts, directory: Path) -> Iterator[Fleet]:
    """Run the demo's pools and load."""
    environ = {f"OTEL_PYTHON_CELERY_POOL_{pool.upper()}_PORT": str(ports[port]) for pool, port in POOLS.items()}
    command = otel_celery("demo", "--broker", broker)
    with Fleet(command, directory / "demo.out", {**environ, "TMPDIR": str(directory)}) as fleet:
        yield fleet


@contextmanager
def redis_exporter(url: str, port: int, directory: Path) -> Iterator[Server]:
    """Serve a Redis's figures, and the lengths of the pools' queues."""
    program = debian("prometheus-redis-exporter", "prometheus-redis-exporter")
    command = [program, "-redis.addr", url, "-web.listen-address", f"{services.LOOPBACK}:{port}"]
    with start([*command, "-check-single-keys", ",".join([*POOLS, "celery"])], port, directory, ready="/") as server:
        yield server


@contextmanager
def postgres_exporter(postgres_port: int, port: int, directory: Path) -> Iterator[Server]:
    """Serve a PostgreSQL's figures."""
    program = debian("prometheus-postgres-exporter", "prometheus-postgres-exporter")
    source = f"postgresql://postgres@{services.LOOPBACK}:{postgres_port}/postgres?sslmode=disable"
    command = [program, f"--web.listen-address={services.LOOPBACK}:{port}"]
    with start(command, port, directory, ready="/", environ={"DATA_SOURCE_NAME": source}) as server:
        yield server


@contextmanager
def postgres() -> Iterator[int]:
    """Serve an empty PostgreSQL; give its port."""
    initdb = services.require(shutil.which(f"{POSTGRES}/initdb"), "PostgreSQL is missing: apt-get install postgresql")
    port = services.free_port()
    with tempfile.TemporaryDirectory(prefix="otel-celery-postgres-") as name:
        nobody = services._as_nobody()
        if nobody:
            os.chown(name, services.NOBODY, services.NOBODY)  # PostgreSQL refuses to be root
        make = [*nobody, initdb, "-D", f"{name}/data", "-U", "postgres", "-A", "trust", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, cwd=name)
        options = ["-c", f"listen_addresses={services.LOOPBACK}", "-c", "unix_socket_directories="]
        command = [*nobody, f"{POSTGRES}/postgres", "-D", f"{name}/data", "-p", str(port), *options]
        with services._child(command, Path(name, "postgres.out"), os.environ, lambda: services._accepts(port)):
            yield port
