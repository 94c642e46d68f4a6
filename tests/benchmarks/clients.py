"""Clients of a port that ask for too much, each kind in a process of its own.

python -m tests.benchmarks.clients scrapers 9101
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST = "127.0.0.1"
SCRAPERS, HALF_REQUESTS = 20, 500


def scrape(connection: http.client.HTTPConnection) -> bytes:
    """Scrape once."""
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        return connection.getresponse().read()


def scrapers(port: int) -> None:
    """Scrape in a loop from twenty threads, with a new connection each time, until the process is ended."""

    def ask() -> None:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                scrape(http.client.HTTPConnection(HOST, port, timeout=30))

    for _ in range(SCRAPERS):
        threading.Thread(target=ask, daemon=True).start()


def prometheus(port: int) -> None:
    """Scrape once a second, as a Prometheus with a short interval would."""

    def ask() -> None:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                scrape(http.client.HTTPConnection(HOST, port, timeout=30))
            time.sleep(1)

    threading.Thread(target=ask, daemon=True).start()


def halves(port: int) -> list[socket.socket]:
    """Open 500 connections, send half a request on each, and hold on to them."""
    held = [socket.create_connection((HOST, port), timeout=30) for _ in range(HALF_REQUESTS)]
    for connection in held:
        with contextlib.suppress(OSError):  # the server may have made room already
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: here\r\n")
    return held


HEAD = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n"
WORDS = {
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 2_000),
    "pipeline": (b"", (HEAD + b"\r\n") * 200),
    "heads": (b"", HEAD + b"".join(b"a%d:\r\n" % (number % 10) for number in range(2_500)) + b"\r\n"),
    "pings": (b"", HEAD + b"\r\n"),
}
"""What one client says first, and then again and again, without credentials."""


def speaker(kind: str) -> Callable[[int], object]:
    """Make a client that says its words as fast as they are taken, and begins anew wherever it is put out."""
    first, again = WORDS[kind]

    def say(port: int) -> None:
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=30) as client:
                client.sendall(first)
                if kind != "pings":
                    threading.Thread(target=swallow, args=(client,), daemon=True).start()
                while True:
                    client.sendall(again)
                    if kind == "pings" and not client.recv(65536):
                        break

    def swallow(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while client.recv(65536):
                pass

    return lambda port: threading.Thread(target=say, args=(port,), daemon=True).start()


CLIENTS: dict[str, Callable[[int], object]] = {
    "scrapers": scrapers,
    "prometheus": prometheus,
    "halves": halves,
    **{kind: speaker(kind) for kind in WORDS},
}


def be(kind: str, port: int) -> None:
    """Be the clients of one kind until standard input ends."""
    held = CLIENTS[kind](port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    del held


@contextmanager
def clients(kind: str, port: int) -> Iterator[None]:
    """Run the clients of one kind in a process of their own."""
    command = [sys.executable, "-m", "tests.benchmarks.clients", kind, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    be(sys.argv[1], int(sys.argv[2]))
