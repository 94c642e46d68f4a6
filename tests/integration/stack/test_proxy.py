"""The reverse proxy's example, in a real nginx with a throw-away certificate, in front of the real servers."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trustme

from tests import services
from tests.integration.stack import compose_services
from tests.integration.stack.servers import debian, htpasswd, start_alertmanager, start_prometheus
from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.integration.stack.compose_services import Site

pytestmark = pytest.mark.xdist_group("proxy")

MAIN = """\
daemon off;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path client;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include conf.d/*.conf;
}
"""
"""What Debian's nginx.conf has around the files in conf.d, and where a process without rights may write."""

NAMES = ("grafana.example.com", "prometheus.example.com", "alertmanager.example.com")


class Echo(http.server.BaseHTTPRequestHandler):
    """Stands in for Grafana: answers with the headers that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer; a request for a web socket is agreed to."""
        body = json.dumps(dict(self.headers)).encode()
        upgraded = self.headers.get("Upgrade") == "websocket"
        self.send_response(101 if upgraded else 200)
        if upgraded:
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not upgraded:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


@dataclass
class Proxy:
    """An nginx, asked as a browser would: by a name, over TLS."""

    site: Site
    authority: trustme.CA

    def ask(self, name: str, path: str = "/", **headers: str) -> tuple[int, str]:
        """Return status and body."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        connection = http.client.HTTPSConnection(name, self.site.ports[443], context=context, timeout=30)
        return _answer(connection, path, headers)

    def ask_plain(self, name: str, path: str) -> tuple[int, str]:
        """Ask without TLS; return status and where it sends one to."""
        connection = http.client.HTTPConnection(name, self.site.ports[80], timeout=30)
        return _answer(connection, path, {}, header="Location")


def _answer(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str], header: str = ""
) -> tuple[int, str]:
    name, port = connection.host, connection.port
    plain = socket.create_connection((LOOPBACK, port), timeout=30)
    context = getattr(connection, "_context", None)
    connection.sock = context.wrap_socket(plain, server_hostname=name) if context else plain
    try:
        connection.request("GET", path, headers={"Host": name, **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers.get(header, "") if header else answer.read().decode()
    finally:
        connection.close()


def basic(user: str, password: str) -> str:
    """Write an Authorization header."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@contextmanager
def echo(port: int) -> Iterator[None]:
    """Serve the stand-in."""
    server = http.server.ThreadingHTTPServer((LOOPBACK, port), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def prepared(site: Site, authority: trustme.CA) -> Path:
    """Lay out what the example's five steps lay out below /etc/nginx; return that directory."""
    home = site.directory / "nginx"
    (home / "conf.d").mkdir(parents=True)
    (home / "tls").mkdir()
    (home / "nginx.conf").write_text(MAIN)
    (home / "conf.d" / "celery-monitoring.conf").write_bytes(
        (site.copy / "nginx" / "celery-monitoring.conf").read_bytes()
    )
    certificate = authority.issue_cert(*NAMES)
    certificate.private_key_pem.write_to_path(home / "tls" / "celery-monitoring.key")
    certificate.cert_chain_pems[0].write_to_path(home / "tls" / "celery-monitoring.pem")
    (home / "celery-monitoring.htpasswd").write_text(htpasswd("alice", "secret") + "\n")
    return home


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """Run nginx before Prometheus, Alertmanager and the stand-in for Grafana."""
    nginx = debian("nginx", "nginx")
    with ExitStack() as running:
        site = running.enter_context(compose_services.site())
        authority = trustme.CA()
        home = prepared(site, authority)
        command = [nginx, "-p", str(home), "-c", str(home / "nginx.conf"), "-e", "stderr"]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        config, alerts = site.copy / "prometheus.yml", site.copy / "alertmanager.yml"
        running.enter_context(start_prometheus(config, site.directory, port=site.ports[9090]))
        running.enter_context(start_alertmanager(alerts, site.directory, port=site.ports[9093]))
        running.enter_context(echo(site.ports[3001]))
        log = home / "nginx.out"
        running.enter_context(services._child(command, log, {"PATH": ""}, lambda: services._accepts(site.ports[443])))
        yield Proxy(site, authority)


@pytest.mark.parametrize(
    ("name", "path"),
    [("prometheus.example.com", "/api/v1/query?query=1"), ("alertmanager.example.com", "/api/v2/status")],
)
def test_who_has_no_password_is_refused(proxy: Proxy, name: str, path: str) -> None:
    """401 without one and with a wrong one, 200 with the right one, from the server behind."""
    assert proxy.ask(name, path)[0] == 401
    assert proxy.ask(name, path, Authorization=basic("alice", "guess"))[0] == 401
    status, body = proxy.ask(name, path, Authorization=basic("alice", "secret"))
    assert status == 200
    assert json.loads(body)


def test_grafana_asks_for_its_own_password(proxy: Proxy) -> None:
    """It gets the name that the browser asked for, and who asked; nginx stands no password in front of it."""
    status, body = proxy.ask("grafana.example.com", "/login")
    assert status == 200
    headers = json.loads(body)
    assert headers["Host"] == "grafana.example.com"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["X-Forwarded-For"] == LOOPBACK


def test_grafanas_web_sockets_get_through(proxy: Proxy) -> None:
    """Its live streams are agreed to as such."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    assert proxy.ask("grafana.example.com", "/api/live/ws", **headers)[0] == 101


@pytest.mark.parametrize("name", NAMES)
def test_who_asks_without_tls_is_sent_to_it(proxy: Proxy, name: str) -> None:
    """To the same page."""
    assert proxy.ask_plain(name, "/graph?g0.expr=up") == (308, f"https://{name}/graph?g0.expr=up")


def test_a_certificate_of_somebody_else_is_not_trusted(proxy: Proxy) -> None:
    """The certificate is the one that was put there."""
    stranger = Proxy(proxy.site, trustme.CA())
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.ask("prometheus.example.com")
