"""What a Prometheus scrapes of the endpoints that are known here."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from otel_celery.pools.client import is_loopback
from otel_celery.watch.alerts import CRITICAL
from otel_celery.watch.finding import WARNING, Finding
from otel_celery.watch.model import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_celery.watch.endpoints import Endpoint
    from otel_celery.watch.sources import Prometheus

HERE = "host.docker.internal"
"""Docker Desktop's name of the host, seen from a container."""


async def unscraped(prometheus: Prometheus, endpoints: Iterable[Endpoint]) -> list[Finding]:
    """List the endpoints that a Prometheus has no target for, or whose target fails.

    Raises EndpointError if it does not answer.
    """
    return list(_compared(await prometheus.errors(), endpoints, prometheus.place))


def _compared(targets: dict[Endpoint, str], endpoints: Iterable[Endpoint], address: str) -> Iterator[Finding]:
    errors = {_place(target): error for target, error in targets.items()}
    for endpoint in endpoints:
        place = _place(endpoint)
        subject = Subject(pool=endpoint.pool, detail=endpoint.address, url=endpoint.url)
        if place not in errors:
            yield Finding(
                "NotScraped",
                WARNING,
                subject,
                f"Prometheus at {address} does not scrape {endpoint.pool or 'the endpoint'} ({endpoint.address})",
                "Add it to scrape_configs, or have otel-celery targets write it into a file for file_sd_configs.",
            )
        elif errors[place]:
            yield Finding(
                "ScrapeFails",
                CRITICAL,
                subject,
                f"Prometheus at {address} cannot scrape {endpoint.pool or 'the endpoint'} ({endpoint.address}): "
                f"{errors[place]}",
                "See that Prometheus reaches the port: OTEL_EXPORTER_PROMETHEUS_HOST, TLS, credentials.",
            )


def _place(endpoint: Endpoint) -> tuple[str, int]:
    """Tell where an endpoint is; this machine has several names."""
    own = is_loopback(endpoint.host) or endpoint.host in {HERE, socket.gethostname()}
    return ("" if own else endpoint.host, endpoint.number)
