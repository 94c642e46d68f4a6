"""What a Prometheus that scrapes once a second does to a worker whose port has 10 000 series.

A real prefork worker with two children is timed with one client that scrapes each second and with none, in turns: the
tasks a second, and, at 50 messages a second, how long each message takes from its publisher to the main process. The
CPU time of the threads beside the main one says the same as the tasks do, on a machine that does other things as well.

    python -m tests.benchmarks.scraped --rounds 5
"""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from otel_celery.lifecycle import SENT_HEADER
from tests.benchmarks.app import app
from tests.benchmarks.clients import clients
from tests.benchmarks.rig import FIRST_TASK, MODES, QUEUE, Rig, await_, rig, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.worker.harness import Worker

LINES_A_TASK = 93
RATE_TARGET = 0.97
ARRIVAL_TARGET = 0.010
"""Seconds that the slowest hundredth of the messages may arrive later beside the scrapes."""
PACE = 0.02
"""Seconds between two messages whose way is timed."""


@contextlib.contextmanager
def watched(bench: Rig, tasks: int) -> Iterator[Worker]:
    """Run a worker whose every task has run, so that all its series are there."""
    environment = {"BENCH_TASKS": str(tasks), "T_ARRIVALS": str(bench.directory / "arrivals")}
    switch = ("-I", "otel_celery.hook,tests.benchmarks.arrivals")
    mode = MODES["otel-celery"]
    with bench.running(type(mode)(app=mode.app, switch=switch), concurrency=2, environment=environment) as worker:
        bench.run("each", worker)
        worker.wait_ready()
        yield worker


def rates(bench: Rig, tasks: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Measure the tasks a second, and the CPU seconds a second beside the main thread, with and without scrapes."""
    found: dict[str, list[tuple[float, float]]] = {"none": [], "prometheus": []}
    with watched(bench, tasks) as worker:
        print(f"exposition of {len(worker.scrape().samples)} lines\n")
        for turn in range(rounds):
            for kind in found if turn % 2 else reversed(found):
                with _scraping(kind, worker):
                    begun, before = time.perf_counter(), _beside_main(worker.process.pid)
                    rate = bench.run("tasks", worker)
                    beside = _beside_main(worker.process.pid) - before
                    found[kind].append((rate, beside / (time.perf_counter() - begun)))
    return found


def _beside_main(pid: int) -> float:
    """Tell the CPU seconds that a process has spent in other threads than its main one."""
    threads = [path for path in Path(f"/proc/{pid}/task").iterdir() if path.name != str(pid)]
    return sum(int((path / "schedstat").read_text().split()[0]) for path in threads) / 1e9


def arrivals(bench: Rig, tasks: int, kind: str, messages: int) -> list[float]:
    """Time the way of so many messages to a new worker, in seconds, in order of length."""
    with watched(bench, tasks) as worker, _scraping(kind, worker):
        with app.connection_for_write(bench.url) as connection, app.amqp.Producer(connection) as producer:
            for _ in range(messages):
                app.send_task(FIRST_TASK, producer=producer, queue=QUEUE, headers={SENT_HEADER: time.time()})
                time.sleep(PACE)
        await_(bench.is_drained, worker, 60)
        worker.stop()
    return sorted(float(line) for line in (bench.directory / "arrivals").read_text().splitlines()[-messages:])


def _scraping(kind: str, worker: Worker) -> contextlib.AbstractContextManager[object]:
    return clients(kind, worker.port) if kind != "none" else contextlib.nullcontext()


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds (default: 5)")
    parser.add_argument("--lines", type=int, default=10_000, help="about how many series (default: 10000)")
    parser.add_argument("--tasks", type=int, default=6_000, help="tasks of one measurement (default: 6000)")
    parser.add_argument("--messages", type=int, default=1_500, help="messages whose way is timed (default: 1500)")
    options = parser.parse_args()
    tasks = options.lines // LINES_A_TASK
    with rig() as bench:
        bench.set_aside("each", {FIRST_TASK.replace("0", str(number)): 20 for number in range(tasks)})
        bench.set_aside("tasks", {FIRST_TASK: options.tasks})
        found = rates(bench, tasks, options.rounds)
        ways = {kind: arrivals(bench, tasks, kind, options.messages) for kind in found}
    share = median(mine / free for (mine, _), (free, _) in zip(found["prometheus"], found["none"], strict=True))
    print(f"throughput beside one scrape a second: {share:.3f} of unscraped (target: {RATE_TARGET} at least)")
    for kind, measured in found.items():
        spent = median(beside for _, beside in measured)
        print(f"CPU beside the main thread, scrapes: {kind}: {spent * 1e3:.1f} ms a second")
    print()
    rows = [[kind, *(f"{each * 1e3:.1f}" for each in (median(way), _p99(way), way[-1]))] for kind, way in ways.items()]
    print(table(["scrapes", "median ms", "p99 ms", "slowest ms"], rows))
    later = _p99(ways["prometheus"]) - _p99(ways["none"])
    print(f"\np99 is {later * 1e3:.1f} ms later beside them (target: {ARRIVAL_TARGET * 1e3:.0f} ms at most)")


def _p99(way: list[float]) -> float:
    return quantiles(way, n=100)[-1]


if __name__ == "__main__":
    main()
