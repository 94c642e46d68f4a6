"""One request to a port: with and without TLS, with and without credentials."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from otel_celery.pools import client
from otel_celery.pools.client import Identity
from otel_celery.settings.settings import TLS, Port
from tests.services import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the path and the credentials that it was asked with."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(418)
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers['Authorization']}".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve Echo on a free port."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> TLS:
    """Make a certificate for another name than the loopback's, signed by itself."""
    openssl = require(shutil.which("openssl"), "openssl is not installed")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=worker.example"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return TLS(certificate, key)


def server_context(pair: TLS) -> ssl.SSLContext:
    """Make the server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def test_an_answer_is_its_status_and_body() -> None:
    """Whatever the status, it is no error."""
    with serving() as number:
        assert client.get(Port("127.0.0.1", number), "/-/ready", 5) == (418, "/-/ready None")


def test_a_port_that_listens_everywhere_is_asked_on_the_loopback() -> None:
    """0.0.0.0 is no address to connect to."""
    with serving() as number:
        assert client.get(Port("0.0.0.0", number), "/", 5)[0] == 418  # noqa: S104  that is the case


@pytest.mark.parametrize(
    ("lines", "shown"),
    [("# comment\n\nme:secret\nother", "Basic bWU6c2VjcmV0"), ("token\nme:secret", "Bearer token")],
)
def test_the_first_of_the_ports_credentials_is_shown(tmp_path: Path, lines: str, shown: str) -> None:
    """The environment that the worker has is enough to ask it."""
    file = tmp_path / "credentials"
    file.write_text(lines)
    with serving() as number:
        assert client.get(Port("127.0.0.1", number, credentials=file), "/m", 5) == (418, f"/m {shown}")


def test_the_ports_own_certificate_is_trusted_on_the_loopback(pair: TLS) -> None:
    """Its name is not checked there."""
    with serving(server_context(pair)) as number:
        assert client.get(Port("localhost", number, pair), "/", 5)[0] == 418


def test_an_authority_alone_asks_with_tls(pair: TLS) -> None:
    """--ca-file is enough where the environment says nothing of TLS."""
    with serving(server_context(pair)) as number:
        assert client.get(Port("127.0.0.1", number), "/", 5, Identity(pair.certificate))[0] == 418


def test_a_client_certificate_is_shown_where_one_is_asked_for(pair: TLS) -> None:
    """Mutual TLS needs --cert-file and --key-file."""
    context = server_context(pair)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pair.certificate)
    with serving(context) as number:
        identity = Identity(None, pair.certificate, pair.key)
        assert client.get(Port("127.0.0.1", number, pair), "/", 5, identity)[0] == 418
