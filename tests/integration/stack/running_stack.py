"""The documented stack at work: the demo's five pools under load, and all that compose starts beside them.

Only addresses and intervals are others than the committed ones, so that a minute shows enough.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.integration.pools.fleet import Fleet, otel_celery
from tests.integration.stack import compose_services
from tests.integration.stack.intervals import hasten

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.stack.servers import FreePorts, Server

POOLS = {"trading": 9101, "pipeline": 9102, "allocation": 9103, "market": 9104, "general": 9105}
EXPORTERS = ("redis-exporter", "postgres-exporter", "alertmanager")


@contextmanager
def running() -> Iterator[Server]:
    """Start all of it; give the Prometheus."""
    with ExitStack() as stack:
        site = stack.enter_context(compose_services.site())
        hasten(site.copy)
        broker = stack.enter_context(site.redis())
        stack.enter_context(site.postgres())
        for name in EXPORTERS:
            stack.enter_context(site.service(name))
        stack.enter_context(site.queue_exporter(broker))
        stack.enter_context(demo(broker, site.ports, site.directory))
        yield stack.enter_context(site.prometheus())


@contextmanager
def demo(broker: str, ports: FreePorts, directory: Path) -> Iterator[Fleet]:
    """Run the demo's pools and its load."""
    environ = {f"OTEL_PYTHON_CELERY_POOL_{pool.upper()}_PORT": str(ports[port]) for pool, port in POOLS.items()}
    command = otel_celery("demo", "--broker", broker)
    with Fleet(command, directory / "demo.out", {**environ, "TMPDIR": str(directory)}) as fleet:
        yield fleet
