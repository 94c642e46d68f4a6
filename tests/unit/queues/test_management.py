"""RabbitMQ's management API is asked once for a virtual host, with credentials that nothing shows."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
import urllib.error
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from otel_celery import masking
from otel_celery.queues import management
from otel_celery.queues.figures import UntoldError
from otel_celery.queues.management import Management
from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def served(body: bytes, status: int = 200, **headers: str) -> Iterator[tuple[int, list[Any]]]:
    """Answer each request so; give the port, and the list of requests."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
            thread.join()


def test_each_queues_figures_are_read() -> None:
    """Unacknowledged, consumers, the head's age; without statistics none of them; a queue that goes is left out."""
    rows = [
        {
            "name": "a",
            "messages_ready": 3,
            "messages_unacknowledged": 2,
            "consumers": 1,
            "head_message_timestamp": 1_000,
        },
        {"name": "b", "messages_ready": "many", "head_message_timestamp": ""},
        {"name": "replies", "exclusive": True},
        {"name": "control", "auto_delete": True},
        {"name": "events", "arguments": {"x-expires": 60_000}},
        {"no": "name"},
        "no row",
    ]
    with served(json.dumps(rows).encode()) as (port, asked):
        told = Management(f"http://guest:p%40ss@{LOOPBACK}:{port}/prefix/", 5.0).queues("/")
    assert (told["a"].unacked, told["a"].consumers) == (2, 1)
    assert abs((told["a"].age or 0) - (time.time() - 1_000)) < 60
    assert (told["b"].unacked, told["b"].consumers, told["b"].age) == (None, None, None)
    assert set(told) == {"a", "b"}
    ((path, credentials),) = asked
    assert path.startswith("/prefix/api/queues/%2F?columns=name,")
    assert base64.b64decode(credentials.removeprefix("Basic ")) == b"guest:p@ss"


def test_a_refusal_is_raised_and_no_redirect_followed() -> None:
    """The credentials are for this place alone."""
    with served(b"", 302, Location="http://127.0.0.1:9/") as (port, asked):
        with pytest.raises(urllib.error.HTTPError):
            Management(f"http://{LOOPBACK}:{port}", 5.0).queues("shop")
        assert [path for path, _ in asked] == [f"/api/queues/shop?columns={management.COLUMNS}&disable_stats=false"]


def test_an_answer_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that is no RabbitMQ may say anything."""
    monkeypatch.setattr(management, "MAX_BYTES", 10)
    with served(b"[" + b" " * 100 + b"]") as (port, _), pytest.raises(UntoldError, match="too long"):
        Management(f"http://{LOOPBACK}:{port}", 5.0).queues("/")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n"


@pytest.mark.parametrize("quick", [0, len(HEAD)], ids=["its head", "its body"])
def test_an_answer_that_dribbles_ends_in_time(quick: int) -> None:
    """A byte now and then is no answer: the time is that of the whole, and not of the wait for each byte."""
    answer, over = HEAD + json.dumps([]).encode().ljust(4000), threading.Event()

    def dribble(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer, contextlib.suppress(OSError):  # who waited has gone
            peer.recv(65536)
            peer.sendall(answer[:quick])
            for byte in answer[quick:]:
                if over.wait(0.05):
                    return
                peer.sendall(bytes([byte]))

    with socket.create_server((LOOPBACK, 0)) as listening:
        thread = threading.Thread(target=dribble, args=(listening,))
        thread.start()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            Management(f"http://{LOOPBACK}:{listening.getsockname()[1]}", 0.5).queues("/")
        took = time.monotonic() - began
        over.set()
        thread.join()
    assert took < 30  # where each byte has half a second, it takes 200 s


def test_the_password_is_masked_from_then_on() -> None:
    """Wherever an error quotes it."""
    Management("http://guest:very-secret@rabbitmq:15672", 5.0)
    assert "very-secret" not in masking.plain("cannot reach guest:very-secret at rabbitmq")
