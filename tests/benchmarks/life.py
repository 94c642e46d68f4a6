"""Instructions of our own code for one task, apart from everything else that a worker does.

A request goes from its message to its success, thousands of times, in a process that has no socket, no pool and no
event loop: with Celery's own Request, and with ours in front of it and the tallies behind. The difference between the
two is what we cost. It repeats to 0.1 % of a whole task, where a whole worker's count (``instructions``) repeats to
0.3 %: a worker's timers fire by the clock.

    python -m tests.benchmarks.life
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from celery.worker.request import Request

from otel_celery.lifecycle import SENT_HEADER
from otel_celery.observe.watch import Watch
from tests.benchmarks.rig import table
from tests.unit.observe.fakes import Bench, Worker
from tests.unit.record.fakes import recording

FEW, MANY = 1_000, 6_000
WHOLE_TASK = 3_510_000
"""Instructions of a bare prefork worker's main process for one task, by ``instructions``."""


def live(tasks: int, *, is_observed: bool) -> None:
    """Have so many requests received, started and ended."""
    bench = Bench()
    kind = bench.final_class(Request)
    if is_observed:
        watch = Watch(Worker(bench.app, consumer_cls="celery.worker.consumer:Consumer"), recording().tallies)
        watch.install()
        kind = bench.request_class(watch=watch)
    more = {SENT_HEADER: time.time()}  # on each message, observed or not
    for _ in range(tasks):
        bench.started(bench.request(kind, more=more)).on_success((0, None, 0.001))


def total(mode: str, tasks: int) -> int:
    """Count the instructions of a process that plays so many lives."""
    with tempfile.TemporaryDirectory() as directory:
        profile = Path(directory) / "profile"
        program = (sys.executable, "-m", "tests.benchmarks.life", "--play", mode, str(tasks))
        command = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", *program)
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": "0"})
        found = re.search(r"^(?:summary|totals): (\d+)", profile.read_text(errors="replace"), re.MULTILINE)
        if found is None:
            raise RuntimeError("callgrind wrote no total")
        return int(found[1])


def main() -> None:
    """Count, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--play", nargs=2, metavar=("MODE", "TASKS"), help="play lives here, uncounted")
    options = parser.parse_args()
    if options.play is not None:
        mode, tasks = options.play
        live(int(tasks), is_observed=mode == "otel-celery")
        return
    cost = {mode: (total(mode, MANY) - total(mode, FEW)) / (MANY - FEW) for mode in ("bare", "otel-celery")}
    rows = [[mode, f"{count:,.0f}", f"{(count - cost['bare']) / WHOLE_TASK:.2%}"] for mode, count in cost.items()]
    print(table(["mode", "instructions a life", "more, of a whole task"], rows))


if __name__ == "__main__":
    main()
