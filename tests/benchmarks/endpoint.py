"""What clients of the port can do to the worker that serves it, and to each other.

A real prefork worker with two children, whose exposition has some 2 000 lines, is timed unloaded, with twenty clients
that scrape in a loop, and with 500 half requests held open; in turns, so that each round has its own unloaded rate.
The clients run in a process of their own. With TLS, one client connects and says nothing while another scrapes.

    python -m tests.benchmarks.endpoint --rounds 5
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING

import trustme

from tests.benchmarks.rig import FIRST_TASK, MODES, Rig, rig, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.worker.harness import Worker

HOST = "127.0.0.1"
SCRAPERS, HALF_REQUESTS = 20, 500
TARGETS = {"scrapers": 0.40, "halves": 0.95, "chunks": 0.40, "pipeline": 0.40, "heads": 0.40, "pings": 0.40}
"""One client that does its worst may cost no more than twenty that scrape in a loop."""
TASK_NAMES = 26
"""Each that has run makes some 75 lines."""

PAUSE = 0.3
"""Longer than a rendering is kept, so that each scrape that is timed is rendered."""


# -- the clients, which run as `python -m tests.benchmarks.endpoint --as scrapers --port N` ---------------------------


def scrapers(port: int) -> None:
    """Scrape in a loop from twenty threads, with a new connection each time, until the process is ended."""

    def scrape() -> None:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                _scrape(http.client.HTTPConnection(HOST, port, timeout=30))

    for _ in range(SCRAPERS):
        threading.Thread(target=scrape, daemon=True).start()


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
    command = [sys.executable, "-m", "tests.benchmarks.endpoint", "--as", kind, "--port", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


# -- what is measured --------------------------------------------------------------------------------------------------


def _scrape(connection: http.client.HTTPConnection) -> bytes:
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        return connection.getresponse().read()


def scrape_seconds(connect: Callable[[], http.client.HTTPConnection], times: int = 10) -> list[float]:
    """Time some scrapes, each of which has to be rendered."""
    taken = []
    for _ in range(times):
        time.sleep(PAUSE)
        begun = time.perf_counter()
        _scrape(connect())
        taken.append(time.perf_counter() - begun)
    return taken


def warm(bench: Rig, worker: Worker) -> None:
    """Run every task, so that all its series are there."""
    bench.run("each", worker)
    worker.wait_ready()


def load(bench: Rig, rounds: int) -> None:
    """Measure the worker's throughput with and without clients."""
    kinds: tuple[str | None, ...] = (None, *CLIENTS)
    rates: dict[str | None, list[float]] = {kind: [] for kind in kinds}
    with bench.running(MODES["otel-celery"], concurrency=2, environment=_environment()) as worker:
        warm(bench, worker)
        lines = len(worker.scrape().samples)
        plain = scrape_seconds(lambda: http.client.HTTPConnection(HOST, worker.port, timeout=30))
        for _ in range(rounds):
            for kind in kinds:
                with clients(kind, worker.port) if kind else contextlib.nullcontext():
                    rates[kind].append(bench.run("tasks", worker))
        with clients("halves", worker.port):
            held = scrape_seconds(lambda: http.client.HTTPConnection(HOST, worker.port, timeout=30), times=3)
    rows = []
    for kind in kinds:
        fraction = median(mine / free for mine, free in zip(rates[kind], rates[None], strict=True))
        target = TARGETS.get(kind or "")
        rows.append(
            [kind or "unloaded", f"{median(rates[kind]):.0f}", f"{fraction:.2f}", f">= {target:.2f}" if target else ""]
        )
    print(f"exposition of {lines} lines, prefork with 2 children, {rounds} rounds\n")
    print(table(["clients", "tasks/s", "of unloaded", "target"], rows))
    print(f"\none scrape: {_millis(plain)}; the first ones with {HALF_REQUESTS} half requests: {_millis(held)}")


def tls(bench: Rig) -> None:
    """Time scrapes over TLS beside one connection that never says a word."""
    authority = trustme.CA()
    pair, key = bench.directory / "cert.pem", bench.directory / "key.pem"
    certificate = authority.issue_cert("localhost", HOST)
    pair.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files = {"OTEL_PYTHON_CELERY_TLS_CERT_FILE": str(pair), "OTEL_PYTHON_CELERY_TLS_KEY_FILE": str(key)}
    with bench.running(MODES["otel-celery"], concurrency=2, environment=_environment() | files) as worker:
        bench.run("each", worker)

        def connect() -> http.client.HTTPConnection:
            return http.client.HTTPSConnection(HOST, worker.port, timeout=30, context=context)

        alone = scrape_seconds(connect)
        with socket.create_connection((HOST, worker.port)):
            beside = scrape_seconds(connect)
    print(f"\nTLS, one scrape: {_millis(alone)}; beside an idle connection: {_millis(beside)}")


def _environment() -> dict[str, str]:
    return {"BENCH_TASKS": str(TASK_NAMES)}


def _millis(taken: list[float]) -> str:
    return f"median {median(taken) * 1e3:.0f} ms, slowest {max(taken) * 1e3:.0f} ms"


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds (default: 5)")
    parser.add_argument("--tasks", type=int, default=3_000, help="tasks of one measurement (default: 3000)")
    parser.add_argument("--as", dest="kind", choices=tuple(CLIENTS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kind:
        be(options.kind, options.port)
        return
    with rig() as bench:
        names = [FIRST_TASK.replace("0", str(number)) for number in range(TASK_NAMES)]
        bench.set_aside("each", dict.fromkeys(names, 20))
        bench.set_aside("tasks", {FIRST_TASK: options.tasks})
        load(bench, options.rounds)
        tls(bench)


if __name__ == "__main__":
    main()
