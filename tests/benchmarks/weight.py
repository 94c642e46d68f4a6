"""Memory and start-up of a prefork worker, in each way that it may be watched, against bare Celery.

A worker of eight children is started, scraped and pushed as its way has it, and given tasks until each child has run
enough of them. Its memory is the proportional set size (PSS) of the main process and of all its children: a page that
several share counts for each of them in part. A full collection of garbage writes into nearly every page, and ends the
sharing: with ``--collected`` each child has had one. Its start-up is the time until it logs that it is ready, and the
CPU time that its main process had taken by then, which a busy machine does not change.

Each round starts a worker of each way, and the next round the other way round. Printed are medians; of start-up the
medians of the differences within the rounds.

    python -m tests.benchmarks.weight --rounds 5
    python -m tests.benchmarks.weight --collected
    python -m tests.benchmarks.weight --way bare --way port-frozen --tasks 50 --recycled
"""

from __future__ import annotations

import argparse
import re
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks.rig import WATCHED, Mode, await_, rig, table
from tests.otlp import http_receiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.rig import Rig
    from tests.integration.worker.harness import Worker
    from tests.otlp import Receiver

NOTING = "bench.noting"
"""A task that notes the process in which it runs."""
BATCH = 100
PATIENCE = 120.0
MIB = 1024.0
OFF = {"PROMETHEUS_ENABLED": ""}
"""The harness switches the port on."""
OTLP = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "{receiver}",
    "OTEL_METRIC_EXPORT_INTERVAL": "500",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}
"""Pushed twice a second, so that what is measured has pushed."""
FREEZE = {"OTEL_PYTHON_CELERY_GC_FREEZE": "true"}

WAYS: Mapping[str, Mode] = {
    "bare": Mode(environment=OFF),
    "off": Mode(switch=WATCHED, environment=OFF),
    "port": Mode(switch=WATCHED),
    "otlp": Mode(switch=WATCHED, environment={**OFF, **OTLP, "OTEL_METRICS_EXPORTER": "otlp"}),
    "traces": Mode(switch=WATCHED, environment={**OTLP, "OTEL_TRACES_EXPORTER": "otlp"}),
    "port-frozen": Mode(switch=WATCHED, environment=FREEZE),
    "traces-frozen": Mode(switch=WATCHED, environment={**OTLP, **FREEZE, "OTEL_TRACES_EXPORTER": "otlp"}),
}
"""Bare Celery; installed and switched off; the port; OTLP push and no port; the port and spans; with the garbage
collector's objects frozen before the fork."""
TARGETS = {"off": 1.0, "port": 1.08, "otlp": 1.15, "traces": 1.20, "port-frozen": 0.60}
"""Memory against bare, at most."""
TARGETS_MS = {"port": 60, "otlp": 150, "traces": 150}
"""How much later ready, at most."""


@dataclass(frozen=True)
class Weight:
    """What one worker weighed."""

    main: float
    """PSS of the main process, in MiB."""
    child: float
    """Median PSS of the children."""
    whole: float
    ready: float
    """Seconds from its start until it was ready."""
    cpu: float
    """Seconds of CPU of the main process until then."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=tuple(WAYS), action="append", help="against bare (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="workers of each way (default: 5)")
    parser.add_argument("--children", type=int, default=8, help="children of a worker (default: 8)")
    parser.add_argument("--tasks", type=int, default=10, help="tasks that each child has run at least (default: 10)")
    parser.add_argument(
        "--recycled", action="store_true", help="replace each child after so many tasks, and measure then"
    )
    parser.add_argument("--collected", action="store_true", help="have each child collect its garbage in each task")
    options = parser.parse_args()
    ways = list(dict.fromkeys(["bare", *(options.way or WAYS)]))
    weighed: dict[str, list[Weight]] = {way: [] for way in ways}
    with rig() as bench, http_receiver() as receiver:
        bench.set_aside("tasks", {NOTING: BATCH})
        for turn in range(options.rounds):
            for way in ways if turn % 2 == 0 else reversed(ways):  # who goes first has the machine as it was left
                weighed[way].append(weigh(bench, _at(WAYS[way], receiver), options))
                receiver.clear()
    print(_table(weighed))


def _at(mode: Mode, receiver: Receiver) -> Mode:
    return replace(
        mode, environment={name: value.format(receiver=receiver.url) for name, value in mode.environment.items()}
    )


def weigh(bench: Rig, mode: Mode, options: argparse.Namespace) -> Weight:
    """Start a worker, have each child run tasks, and tell what it weighs."""
    notes = bench.directory / "notes"
    notes.mkdir(exist_ok=True)
    for note in notes.iterdir():
        note.unlink()
    more = ("-l", "INFO", *(("--max-tasks-per-child", str(options.tasks)) if options.recycled else ()))
    with ExitStack() as stack:
        begun = time.time()
        environment = {"BENCH_NOTES": str(notes), "BENCH_COLLECT": "1" if options.collected else ""}
        mode = replace(mode, arguments=(*mode.arguments, *more))
        worker = stack.enter_context(bench.running(mode, concurrency=options.children, environment=environment))
        await_(lambda: ready_at(worker) is not None, worker, PATIENCE)
        cpu = cpu_of(worker.process.pid)
        ready = (ready_at(worker) or 0.0) - begun
        first = children_of(worker.process.pid)
        deadline = time.monotonic() + PATIENCE
        while not _has_run(worker, notes, first, options):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not every child has run its tasks:\n{worker.log[-4000:]}")
            bench.run("tasks", worker)
        with suppress(OSError):  # of a worker without a port
            worker.scrape()
        time.sleep(1.2)  # the second push, and the garbage collector's turn
        children = pss_of_children(worker.process.pid, options.children)
        own = pss_of(worker.process.pid)
    return Weight(own, median(children), own + sum(children), ready, cpu)


def _has_run(worker: Worker, notes: Path, first: set[int], options: argparse.Namespace) -> bool:
    """Tell whether each child has run its tasks, or if asked that each child was recycled."""
    run = {int(note.name): note.stat().st_size for note in notes.iterdir()}
    children = children_of(worker.process.pid)
    if options.recycled:
        return len(children) == options.children and not children & first
    return len(children) == options.children and all(run.get(pid, 0) >= options.tasks for pid in children)


def ready_at(worker: Worker) -> float | None:
    """Find the moment at which the worker says that it is ready, to a millisecond; None before it does."""
    found = re.search(r"^\[(\S+ \S+),(\d+): .* ready\.$", worker.log, re.MULTILINE)
    return None if found is None else datetime.fromisoformat(found[1]).timestamp() + int(found[2]) / 1000


def cpu_of(pid: int) -> float:
    """Give the seconds of CPU that all threads of a process have had."""
    times = (path.read_text().split()[0] for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(map(int, times)) / 1e9


def children_of(pid: int) -> set[int]:
    """List the processes that a process has started."""
    return {int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()}


def pss_of_children(pid: int, number: int) -> list[float]:
    """Give the size of each child, once there are so many and none is being replaced."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = children_of(pid)
        with suppress(OSError):  # of a child that has ended meanwhile
            sizes = [pss_of(child) for child in before]
            if len(sizes) == number and children_of(pid) == before:
                return sizes
        time.sleep(0.1)
    raise RuntimeError(f"{number} children have never been there at once")


def pss_of(pid: int) -> float:
    """Give a process's proportional set size, in MiB."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return 0.0 if found is None else int(found[1]) / MIB


def _table(weighed: Mapping[str, list[Weight]]) -> str:
    bare = weighed["bare"]
    rows = []
    for way, found in weighed.items():
        ratio = median(mine.whole / its.whole for mine, its in zip(found, bare, strict=True))
        later = median(mine.ready - its.ready for mine, its in zip(found, bare, strict=True))
        cpu = median(mine.cpu - its.cpu for mine, its in zip(found, bare, strict=True))
        sizes = (median(getattr(each, part) for each in found) for part in ("main", "child", "whole"))
        rows.append(
            [
                way,
                *(f"{size:.1f}" for size in sizes),
                f"{ratio:.3f}",
                f"{TARGETS.get(way, '')}",
                f"{later * 1000:+.0f} ms",
                f"{cpu * 1000:+.0f} ms",
                f"{TARGETS_MS.get(way, '')}",
            ]
        )
    head = ["way", "main, MiB", "a child", "all", "against bare", "target", "ready later", "by CPU", "target"]
    return table(head, rows)


if __name__ == "__main__":
    main()
