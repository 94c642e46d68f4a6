"""Instructions of a worker's main process for one task, in each mode, against bare Celery.

A real prefork worker with one child runs under callgrind, once with few tasks in its queue and once with many; the
difference, divided by the number of tasks between, is the cost of one task. Callgrind writes a profile for each
process, and only the main process's is read. Clocks on shared machines wander by 5 %; this repeats to 0.3 %.

    python -m tests.benchmarks.instructions --mode bare --mode otel-celery
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.benchmarks.rig import FIRST_TASK, MODES, await_, rig, table

TARGET = 1.02
PATIENCE = 1_200.0


def total(mode: str, tasks: int) -> int:
    """Count the instructions that the main process of a worker takes for its whole life with this many tasks."""
    with rig() as bench:
        bench.set_aside("aside", {FIRST_TASK: tasks})
        bench.release("aside")
        profile = bench.directory / "callgrind"
        valgrind = ("valgrind", "--tool=callgrind", "--trace-children=no", f"--callgrind-out-file={profile}.%p")
        launcher = (*valgrind, sys.executable, "-m", "celery")
        worker = bench.start(MODES[mode], concurrency=1, launcher=launcher)
        try:
            await_(bench.is_drained, worker, PATIENCE, step=0.1)
        finally:
            worker.stop(seconds=PATIENCE)
        text = profile.with_name(f"callgrind.{worker.process.pid}").read_text(errors="replace")
        found = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"callgrind wrote no total:\n{worker.log[-4000:]}")
        return int(found[1])


def main() -> None:
    """Count, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=tuple(MODES), action="append", help="which mode (default: all)")
    parser.add_argument("--few", type=int, default=400, help="tasks of the short run (default: 400)")
    parser.add_argument("--many", type=int, default=2_400, help="tasks of the long run (default: 2400)")
    parser.add_argument("--jobs", type=int, default=2, help="workers at once; counts do not mind (default: 2)")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed: apt-get install valgrind")
    modes = list(dict.fromkeys(["bare", *(options.mode or MODES)]))
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = {
            mode: [pool.submit(total, mode, tasks) for tasks in (options.few, options.many)]  # long runs overlap
            for mode in modes
        }
        between = options.many - options.few
        cost = {mode: (many.result() - few.result()) / between for mode, (few, many) in runs.items()}
    rows = [[mode, f"{cost[mode]:,.0f}", f"{cost[mode] / cost['bare']:.3f}"] for mode in modes]
    print(table(["mode", "instructions a task", f"against bare (otel-celery: <= {TARGET})"], rows))


if __name__ == "__main__":
    main()
