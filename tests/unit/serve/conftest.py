"""Endpoints on free loopback ports, and a client that says exactly what a test wants said."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from prometheus_client import CollectorRegistry, Counter

from otel_celery.page.page import StatusPage
from otel_celery.serve.server import Endpoint, open_endpoint
from otel_celery.settings.settings import TLS, Port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass
class FakeHealth:
    """A process whose state a test writes down."""

    busy: str | None = None
    stuck: str | None = None

    def healthy(self) -> str | None:
        """Say why it has to be restarted."""
        return self.stuck

    def ready(self) -> str | None:
        """Say why it is not ready."""
        return self.busy


@dataclass
class Reply:
    """A response as a client sees it."""

    status: int
    headers: dict[str, str]
    body: bytes
    challenges: list[str]


@dataclass
class Served:
    """An endpoint, and what it told its opener."""

    endpoint: Endpoint
    opened: list[int] = field(default_factory=list)
    taken: list[OSError] = field(default_factory=list)
    errors: list[tuple[str, Exception]] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Tell where to connect."""
        return "127.0.0.1", self.endpoint.port

    def connect(self, **options: Any) -> socket.socket:
        """Open a TCP connection, for as long as nothing is said on it."""
        return socket.create_connection(self.address, timeout=8, **options)

    def fetch(
        self, path: str = "/metrics", method: str = "GET", *, tls: ssl.SSLContext | None = None, **headers: str
    ) -> Reply:
        """Make one request as a proper client does."""
        client = (
            http.client.HTTPConnection("localhost", self.endpoint.port, timeout=8)
            if tls is None
            else http.client.HTTPSConnection("localhost", self.endpoint.port, timeout=8, context=tls)
        )
        try:
            client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = client.getresponse()
            challenges = response.headers.get_all("WWW-Authenticate") or []
            return Reply(response.status, dict(response.headers), response.read(), challenges)
        finally:
            client.close()

    def say(self, words: bytes) -> bytes:
        """Send bytes, and return all that comes back until the endpoint closes."""
        with self.connect() as client:
            client.sendall(words)
            return until_closed(client)


def until_closed(client: socket.socket) -> bytes:
    """Read until the other side closes, kindly or not."""
    heard = b""
    try:
        while piece := client.recv(65536):
            heard += piece
    except ConnectionError:
        pass
    return heard


def page() -> StatusPage:
    """Make the page of a worker."""
    return StatusPage("worker w@h", "https://git.example/RUNBOOK.md")


@pytest.fixture
def registry() -> CollectorRegistry:
    """Hold one counter, ``orders_total`` 3."""
    registry = CollectorRegistry()
    Counter("orders", "Orders.", registry=registry).inc(3)
    return registry


@pytest.fixture
def health() -> FakeHealth:
    """Be ready, unless the test says otherwise."""
    return FakeHealth()


@pytest.fixture
def serve(registry: CollectorRegistry, health: FakeHealth) -> Iterator[Callable[..., Served]]:
    """Open endpoints, on a free port if none is given, and close them when the test is over."""
    started: list[Served] = []

    def start(
        port: Port | None = None,
        collector: Any = registry,
        retry_seconds: float = 0.05,
        open_registry: Callable[[], Any] | None = None,
    ) -> Served:
        served = Served(None)  # type: ignore[arg-type] # the callbacks need the lists first
        served.endpoint = open_endpoint(
            port or Port(number=0),
            open_registry or (lambda: collector),
            health,
            open_page=page,
            on_open=served.opened.append,
            on_taken=served.taken.append,
            on_error=lambda where, error: served.errors.append((where, error)),
            retry_seconds=retry_seconds,
        )
        started.append(served)
        return served

    yield start
    for served in started:
        served.endpoint.close()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """Serve the registry in plain text, to everybody."""
    return serve()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Wait until something is true, and fail after eight seconds."""

    def wait(probe: Callable[[], Any]) -> Any:
        end = time.monotonic() + 8
        while not (found := probe()):
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.01)
        return found

    return wait


@dataclass
class Files:
    """A certificate authority, and the files that it fills."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)

    def pair(self, name: str = "server", **options: Any) -> TLS:
        """Write a certificate for localhost, in place of one of the same name."""
        issued = self.authority.issue_cert("localhost", **options)
        tls = TLS(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        tls.key.write_bytes(issued.private_key_pem.bytes())
        tls.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return tls

    def client(self, *, certified: bool = False) -> ssl.SSLContext:
        """Trust the authority, and have a certificate of it if asked."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if certified:
            self.authority.issue_cert("client@example.org").configure_cert(context)
        return context

    def ca_file(self) -> Path:
        """Write the authority's own certificate."""
        self.authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        return self.folder / "ca.pem"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Make a certificate authority of the test's own."""
    return Files(tmp_path)


PREAMBLE = """
import json, os, sys
from prometheus_client import CollectorRegistry, Counter
from otel_celery.page.page import StatusPage
from otel_celery.serve.server import open_endpoint
from otel_celery.settings.settings import Port, TLS
class Health:
    def healthy(self): return None
    def ready(self): return None
registry = CollectorRegistry()
Counter("orders", "Orders.", registry=registry).inc(3)
def start(collector=registry, number=0, **port):
    return open_endpoint(Port(number=number, **port), lambda: collector, Health(),
        open_page=lambda: StatusPage("w", ""), on_open=lambda number: None, on_taken=lambda error: None,
        on_error=lambda where, error: print(where, repr(error), file=sys.stderr))
def tell(**facts):
    print(json.dumps(facts), flush=True)
"""


@dataclass
class Script:
    """A process that tells facts, a line of JSON each, and hears lines."""

    process: subprocess.Popen[str]

    def hear(self, seconds: float = 20) -> dict[str, Any]:
        """Return the next facts told."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        assert ready, "the script says nothing"
        return dict(json.loads(self.process.stdout.readline()))

    def tell(self, line: str = "") -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    """Run a script in a process of its own, and kill it with all its children when the test is over."""
    running: list[subprocess.Popen[str]] = []

    def run(text: str, *arguments: str, first: str = "") -> Script:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", first + PREAMBLE + text, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        running.append(process)
        return Script(process)

    yield run
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
