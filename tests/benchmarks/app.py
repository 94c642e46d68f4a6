"""The application that the benchmarks' workers run: tasks that do nothing, so that only the worker's work is seen."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

from celery import Celery

app = Celery("bench", broker=os.environ.get("BENCH_BROKER"), set_as_current=False)
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue="bench",
    task_ignore_result=True,
)


def nothing() -> None:
    """Return at once."""


TASKS = [f"bench.nothing_{number}" for number in range(int(os.environ.get("BENCH_TASKS") or 1))]

for name in TASKS:
    app.task(name=name)(nothing)


@app.task(name="bench.noting")
def noting() -> None:
    """Note that this process has run a task, in a file of its own; take long enough that each child gets some.

    Collect garbage before, if the benchmark asks for it.
    """
    if os.environ.get("BENCH_COLLECT"):
        gc.collect()
    with Path(os.environ["BENCH_NOTES"], str(os.getpid())).open("ab") as note:
        note.write(b".")
    time.sleep(0.2)
