"""Tasks a second of a prefork worker with two children, against bare Celery in interleaved pairs.

A new worker is started for each measurement, warmed up, and then given the same tasks at once. Rates wander with the
machine, so what counts is the median of the ratios within the pairs; where it is close, ``instructions`` decides.

    python -m tests.benchmarks.throughput --pairs 15 --mode otel-celery
"""

from __future__ import annotations

import argparse
from statistics import median, quantiles

from tests.benchmarks.rig import FIRST_TASK, MODES, Rig, rig, table

TARGET = 0.98


def rate(bench: Rig, mode: str) -> float:
    """Measure the tasks a second of a new worker."""
    with bench.running(MODES[mode], concurrency=2) as worker:
        bench.run("warm-up", worker)
        return bench.run("tasks", worker)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    others = [mode for mode in MODES if mode != "bare"]
    parser.add_argument("--mode", choices=others, action="append", help="against bare (default: otel-celery)")
    parser.add_argument("--pairs", type=int, default=15, help="how many pairs (default: 15)")
    parser.add_argument("--tasks", type=int, default=3_000, help="tasks of one measurement (default: 3000)")
    options = parser.parse_args()
    modes = ["bare", *dict.fromkeys(options.mode or ["otel-celery"])]
    rates: dict[str, list[float]] = {mode: [] for mode in modes}
    with rig() as bench:
        bench.set_aside("warm-up", {FIRST_TASK: 300})
        bench.set_aside("tasks", {FIRST_TASK: options.tasks})
        for turn in range(options.pairs):
            for mode in modes if turn % 2 else reversed(modes):  # who goes first has the machine as it was left
                rates[mode].append(rate(bench, mode))
    rows = []
    for mode in modes:
        ratios = [mine / bare for mine, bare in zip(rates[mode], rates["bare"], strict=True)]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        rows.append([mode, f"{median(rates[mode]):.0f}", f"{median(ratios):.3f}", f"{low:.3f} to {high:.3f}"])
    print(table(["mode", "tasks/s", f"ratio (otel-celery: >= {TARGET})", "middle half"], rows))


if __name__ == "__main__":
    main()
