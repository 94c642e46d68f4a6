"""What `otel-celery top` costs: its own processor time, with many endpoints that it asks each second.

The endpoints are in a process of their own, whose time does not count. Each page has ten tasks in the shape of a real
worker's; a share of them moves between two scrapes. The view runs as an operator runs it, in a terminal of 120 x 40.

    python -m tests.benchmarks.top --endpoints 200 --seconds 30
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = 10
MOVING = 3
"""Tasks of a page that move between two scrapes."""
BOUNDS = (
    "0.005",
    "0.01",
    "0.025",
    "0.05",
    "0.1",
    "0.25",
    "0.5",
    "1.0",
    "2.5",
    "5.0",
    "10.0",
    "30.0",
    "60.0",
    "300.0",
    "+Inf",
)
HISTOGRAMS = ("duration", "runtime", "queue_wait", "prefetch_wait")
COUNTERS = ("received", "started", "succeeded", "failed", "retried", "rejected", "returned", "redelivered")
MOVE = 3
"""Counters that move: what fails and is retried stands, or all would be in trouble at once."""
STATUSES = ("success", "failure", "retry", "rejected", "ignored", "revoked", "unreported")
TARGET = 0.5
"""Of one core."""


def page(number: int) -> tuple[bytes, bytes]:
    """Write an endpoint's page: what stands, and what moves, whose values are ?."""
    worker = f"pool{number % 20}@host{number}"
    levels = {"up": "1.0", "tasks_active": "3.0", "pool_size": "8.0", "broker_connected": "1.0"}
    standing = [f'celery_worker_{name}{{worker="{worker}"}} {value}' for name, value in levels.items()]
    moving = ["process_cpu_seconds_total ?"]
    for task in range(TASKS):
        value, lines = ("?", moving) if (task + number) % TASKS < MOVING else ("5.0", standing)
        labels = f'queue="q{number % 20}",task_name="shop.orders.task_{task}",worker="{worker}"'
        lines += [f"celery_task_{name}_total{{{labels}}} {value}" for name in COUNTERS[:MOVE]]
        standing += [f"celery_task_{name}_total{{{labels}}} 5.0" for name in COUNTERS[MOVE:]]
        lines.append(f'celery_tasks_total{{{labels},status="{STATUSES[0]}"}} {value}')
        standing += [f'celery_tasks_total{{{labels},status="{status}"}} 5.0' for status in STATUSES[1:]]
        for name in HISTOGRAMS:
            family = f"celery_task_{name}_seconds"
            lines += [f'{family}_bucket{{le="{bound}",{labels}}} {value}' for bound in BOUNDS]
            lines += [f"{family}_count{{{labels}}} {value}", f"{family}_sum{{{labels}}} {value}"]
    return "\n".join(standing).encode() + b"\n", "\n".join(moving).encode() + b"\n"


async def serve(count: int) -> None:
    """Serve the endpoints until standard input ends; print their ports, and for each line how often they were asked."""
    scrapes = [0] * count
    pages = [page(number) for number in range(count)]

    async def answer(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        scrapes[number] += 1
        standing, moving = pages[number]
        body = standing + moving.replace(b"?", b"%d.0" % (7 * scrapes[number]))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    ports = []
    for number in range(count):
        server = await asyncio.start_server(partial(answer, number), "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
    print(json.dumps(ports), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(sum(scrapes), flush=True)


def cpu(pid: int) -> float:
    """Read a process's processor time in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(ports: list[int], seconds: float, asked: Callable[[], int]) -> tuple[float, float, float]:
    """Run the view; give its processor time a look, its looks a second, and its memory in megabytes.

    On a machine that others share looks may come late: what one costs tells more than what a second did.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([{"targets": [f"127.0.0.1:{port}"]} for port in ports], file)
        file.flush()
        pid, master = pty.fork()
        if pid == 0:
            command = [sys.executable, "-m", "otel_celery.cli", "top", "--interval", "1", "--targets", file.name]
            os.execvpe(command[0], command, {**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"})  # noqa: S606
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        threading.Thread(target=_drain, args=(master,), daemon=True).start()
        try:
            time.sleep(6)  # it has started, and has met every series
            begun, before, first = time.monotonic(), cpu(pid), asked()
            time.sleep(seconds)
            spent, looks, passed = cpu(pid) - before, (asked() - first) / len(ports), time.monotonic() - begun
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return spent / looks, looks / passed, resident / 1e6


def _drain(master: int) -> None:
    try:
        while os.read(master, 65536):
            pass
    except OSError:
        return


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve(asked.serve))
        return
    command = [sys.executable, "-m", "tests.benchmarks.top", "--serve", str(asked.endpoints)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        said, told = server.stdout, server.stdin
        assert said is not None
        assert told is not None

        def scrapes() -> int:
            told.write("\n")
            told.flush()
            return int(said.readline())

        try:
            ports = json.loads(said.readline())
            spent, looks, memory = measured(ports, asked.seconds, scrapes)
        finally:
            server.terminate()
    lines = b"".join(page(0)).count(b"\n")
    print(f"{asked.endpoints} endpoints of {lines} lines: {spent * 1000:.0f} ms of processor time a look,")
    print(f"which each second are {spent:.2f} of a core (target {TARGET}); {looks:.2f} looks a second were made")
    print(f"{memory:.0f} MB")


if __name__ == "__main__":
    main()
