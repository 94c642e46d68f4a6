"""Whoever is told of alerts: a webhook, in the place of the receivers of alertmanager.yml."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import yaml

from tests.integration.stack.servers import wait_until
from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 90.0


@dataclass
class Webhook:
    """Whoever is told: a webhook that keeps what Alertmanager sends, in the order in which it came."""

    url: str
    alerts: list[dict[str, Any]] = field(default_factory=list)
    """As Alertmanager says them, each with the ``receiver`` of its message and when that came, ``at`` (monotonic)."""

    def in_place_of_receivers(self, configuration: str) -> str:
        """Give Alertmanager's configuration with this as each receiver's address, and nothing else changed."""
        routes = yaml.safe_load(configuration)
        for receiver in routes["receivers"]:
            receiver["webhook_configs"] = [{"url": self.url, "send_resolved": True}]
        return yaml.safe_dump(routes)

    def told(self, status: str, after: int = 0, **labels: str) -> dict[str, Any]:
        """Wait for a message that an alert with these labels fires, or is resolved; only later ones than ``after``."""

        def found() -> dict[str, Any] | None:
            wanted = labels.items()
            told = (one for one in self.alerts[after:] if one["status"] == status and wanted <= one["labels"].items())
            return next(told, None)

        alert: dict[str, Any] = wait_until(found, f"{status} {labels}", PATIENCE)
        return alert


@contextmanager
def answered() -> Iterator[Webhook]:
    """Serve the webhook."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came = {"receiver": message["receiver"], "at": time.monotonic()}
            webhook.alerts.extend({**alert, **came} for alert in message["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Answer) as server:
        webhook = Webhook(f"http://{LOOPBACK}:{server.server_address[1]}/")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield webhook
        server.shutdown()
        thread.join()
