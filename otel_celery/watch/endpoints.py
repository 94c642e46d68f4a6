"""An endpoint: where one process's metrics are, and what it is called."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from otel_celery.masking import RefusedError, keep_user, quoted
from otel_celery.pools.client import ANYWHERE
from otel_celery.settings.reader import is_host

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.pools.plan import Pool
    from otel_celery.settings.settings import Port

METRICS = "/metrics"
MAX_PORT = 65535
NO_WORKERS = ("-queues", "-beat")
"""How the jobs of what is no worker end, in prometheus.yml and in what `otel-celery targets` writes."""
DEFAULT_PORTS = {"http": 80, "https": 443}
LOOPBACK = "localhost"
SAME = frozenset({LOOPBACK, "127.0.0.1", "::1"})
"""Names of one place; what has other addresses of the loopback gave them to tell its ports apart."""


class EndpointError(RefusedError):
    """An endpoint, or what should tell of endpoints, is not allowed or cannot be had; one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one process's metrics are."""

    host: str
    number: int
    path: str = METRICS
    is_tls: bool = False
    pool: str = ""
    """What its source calls the pool; empty if it does not say."""
    is_worker: bool = True
    """Whether a worker is expected there, and not what tells of queues, or beat."""
    login: bytes = field(default=b"", repr=False)
    """``user:password`` of its URL; empty if there is none."""

    @property
    def address(self) -> str:
        """Its host and port, as one shows them."""
        return f"[{self.host}]:{self.number}" if ":" in self.host else f"{self.host}:{self.number}"

    @property
    def url(self) -> str:
        """Its URL, without the user and password."""
        return f"{'https' if self.is_tls else 'http'}://{self.address}{self.path}"

    @property
    def runbook(self) -> str:
        """Where its port has the runbook: beside the metrics; empty where these have a path of their own."""
        metrics = self.url.partition("?")[0]
        return f"{metrics.removesuffix(METRICS)}/-/runbook" if metrics.endswith(METRICS) else ""

    @property
    def place(self) -> tuple[str, int, str, bool]:
        """Where it is, which several spellings of its URL have in common."""
        return (_place_of(self.host), self.number, self.path, self.is_tls)

    @property
    def authorisation(self) -> bytes:
        """The Authorization header of its URL's user and password; empty if there is none."""
        return b"Basic " + base64.b64encode(self.login) if self.login else b""


def of_pool(pool: Pool, port: Port, *, is_tls: bool) -> Endpoint:
    """Make the endpoint of a pool on this machine; ``port`` is the pools' Port, save for the number."""
    return Endpoint(ANYWHERE.get(port.host, port.host), pool.port, is_tls=is_tls, pool=pool.name)


def of_exporter(number: int, port: Port, *, is_tls: bool) -> Endpoint:
    """Make the endpoint of the queues' exporter on this machine; ``port`` is its Port, save for the number."""
    return Endpoint(ANYWHERE.get(port.host, port.host), number, is_tls=is_tls, pool="queues", is_worker=False)


def of_url(text: str, pool: str = "", *, job: str = "", scheme: str = "http") -> Endpoint:
    """Make an endpoint of a URL, or of ``host:port``; the path is /metrics unless it names one.

    ``job`` is what Prometheus calls it: celery-queues and celery-beat are no workers.

    Raises EndpointError if it is neither.
    """
    url = text if "://" in text else f"{scheme}://{text}"
    keep_user(url)
    refused = EndpointError(f"{quoted(text)} is not an endpoint: it must be host:port or an http(s) URL")
    try:
        parts = urlsplit(url)
        standard = DEFAULT_PORTS[parts.scheme]
        number = standard if parts.port is None else parts.port
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode() if parts.username else b""
    except (ValueError, KeyError):  # UnicodeEncodeError too: a lone surrogate
        raise refused from None
    host = parts.hostname or ""
    if not is_host(host) or not 0 < number <= MAX_PORT:
        raise refused
    query = f"?{parts.query}" if parts.query else ""
    path = (parts.path if parts.path not in {"", "/"} else METRICS) + query
    if not path.isascii() or not path.isprintable() or " " in path:
        raise refused
    return Endpoint(host, number, path, parts.scheme == "https", pool, not job.endswith(NO_WORKERS), login)


def united(endpoints: Iterable[Endpoint]) -> dict[str, Endpoint]:
    """List endpoints by their URLs, each once, however often it is named and in which of its spellings."""
    places: dict[tuple[str, int, str, bool], Endpoint] = {}
    for endpoint in endpoints:
        known = places.get(endpoint.place)
        places[endpoint.place] = endpoint if known is None else _united(known, endpoint)
    return {endpoint.url: endpoint for endpoint in places.values()}


def _united(one: Endpoint, other: Endpoint) -> Endpoint:
    """Keep what either says of an endpoint, the first before the second."""
    return replace(
        one,
        host=one.host if one.host == other.host else one.place[0],  # localhost is asked at each of its addresses
        pool=one.pool or other.pool,
        is_worker=one.is_worker and other.is_worker,
        login=one.login or other.login,
    )


def _place_of(host: str) -> str:
    """Give the one spelling of a host."""
    try:
        host = ipaddress.ip_address(host).compressed
    except ValueError:
        host = host.lower()
    return LOOPBACK if host in SAME else host
