"""What clients of the port can do to the worker that serves it, and to each other.

A real prefork worker with two children, whose exposition has some 2 000 lines, is timed unloaded, with twenty clients
that scrape in a loop, with 500 half requests held open, and with one client of each kind that asks for too much; in
turns, so that each round has its own unloaded rate. The clients run in a process of their own. With TLS, one client
connects and says nothing while another scrapes.

    python -m tests.benchmarks.endpoint --rounds 5
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import socket
import ssl
import time
from statistics import median
from typing import TYPE_CHECKING

import trustme

from tests.benchmarks.clients import CLIENTS, HALF_REQUESTS, HOST, clients, scrape
from tests.benchmarks.rig import FIRST_TASK, MODES, Rig, rig, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.worker.harness import Worker

TARGETS = {"scrapers": 0.40, "halves": 0.95, "chunks": 0.40, "pipeline": 0.40, "heads": 0.40, "pings": 0.40}
"""One client that does its worst may cost no more than twenty that scrape in a loop."""
TASK_NAMES = 26
"""Each that has run makes some 75 lines."""

PAUSE = 0.3
"""Longer than a rendering is kept, so that each scrape that is timed is rendered."""


# -- what is measured --------------------------------------------------------------------------------------------------


def scrape_seconds(connect: Callable[[], http.client.HTTPConnection], times: int = 10) -> list[float]:
    """Time some scrapes, each of which has to be rendered."""
    taken = []
    for _ in range(times):
        time.sleep(PAUSE)
        begun = time.perf_counter()
        scrape(connect())
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
    options = parser.parse_args()
    with rig() as bench:
        names = [FIRST_TASK.replace("0", str(number)) for number in range(TASK_NAMES)]
        bench.set_aside("each", dict.fromkeys(names, 20))
        bench.set_aside("tasks", {FIRST_TASK: options.tasks})
        load(bench, options.rounds)
        tls(bench)


if __name__ == "__main__":
    main()
