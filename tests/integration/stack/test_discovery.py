"""The examples of discovery: a real Prometheus finds what a service lists, with the label that the pool is known by."""

from __future__ import annotations

import http.server
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from click.testing import CliRunner

from otel_celery.cli import main
from tests.integration.stack.servers import start_prometheus, wait_until
from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.integration.stack.servers import FreePorts, Server

pytestmark = pytest.mark.xdist_group("discovery")

CONSUL = {
    "/v1/agent/self": {"Config": {"Datacenter": "dc1"}},
    "/v1/health/service/celery-worker": [
        {
            "Node": {"Node": "web1", "Address": "10.0.0.1", "Datacenter": "dc1"},
            "Service": {
                "ID": "celery-trading",
                "Service": "celery-worker",
                "Address": LOOPBACK,
                "Port": 9101,
                "Meta": {"pool": "trading"},
            },
            "Checks": [],
        }
    ],
}
"""What Consul's HTTP API says of a worker that was registered as the example asks."""


class Directory(http.server.BaseHTTPRequestHandler):
    """A service that lists where workers are."""

    answers: ClassVar[Mapping[str, Any]] = {}

    def do_GET(self) -> None:
        """Answer; Consul's question whether anything is new waits a moment, since nothing ever is."""
        path, _, query = self.path.partition("?")
        if "index=" in query and "index=0" not in query:
            time.sleep(0.5)
        body = json.dumps(self.answers[path]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Consul-Index", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


@contextmanager
def directory_service(port: int, answers: Mapping[str, Any]) -> Iterator[None]:
    """Serve these answers."""
    handler = type("Answers", (Directory,), {"answers": answers})
    server = http.server.ThreadingHTTPServer((LOOPBACK, port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def discovered(prometheus: Server) -> list[dict[str, str]]:
    """List the labels of the targets, once there are some."""
    targets: list[dict[str, Any]] = wait_until(lambda: prometheus.targets("celery"), "something is discovered")
    return [target["labels"] for target in targets]


def test_workers_that_an_http_service_lists_are_found(version: str, monitoring: Path, ports: FreePorts) -> None:
    """It may answer with what `otel-celery targets` prints."""
    printed = CliRunner().invoke(main, ["targets", "--host", "localhost"]).stdout
    with (
        directory_service(ports[8080], {"/celery-targets": json.loads(printed)}),
        start_prometheus(monitoring / "discovery" / "http.yml", monitoring, version=version) as prometheus,
    ):
        assert {(one["pool"], one["instance"]) for one in discovered(prometheus)} == {
            ("trading", "localhost:9101"),
            ("pipeline", "localhost:9102"),
            ("allocation", "localhost:9103"),
            ("market", "localhost:9104"),
            ("general", "localhost:9105"),
        }


def test_workers_registered_in_consul_are_found(monitoring: Path, ports: FreePorts) -> None:
    """Asked over its HTTP API, played by a stand-in; Debian's Prometheus is built without it."""
    with (
        directory_service(ports[8500], CONSUL),
        start_prometheus(monitoring / "discovery" / "consul.yml", monitoring) as prometheus,
    ):
        expected = {"job": "celery", "instance": "127.0.0.1:9101", "pool": "trading"}
        assert discovered(prometheus) == [expected]
