"""An app whose children tell what they inherited; its worker writes down what it had when it forked."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from celery import signals
from opentelemetry import metrics

from tests.integration.worker.proj import app

runs = metrics.get_meter("weight").create_counter("weight.runs")
_main = os.getpid()


def _write_down() -> None:
    """Write how many objects are frozen, at each fork of the main process, and the names of the imported modules, once.

    Another module's own fork may come earlier, and counts.
    """
    if os.getpid() == _main:
        with Path(os.environ.get("T_FROZEN") or os.devnull).open("a") as file:
            file.write(f"{gc.get_freeze_count()}\n")
    path = Path(os.environ.get("T_MODULES") or os.devnull)
    if os.getpid() == _main and "otel_celery_forked" not in sys.modules:
        sys.modules["otel_celery_forked"] = sys
        path.write_text("\n".join(sorted(name for name in sys.modules if name != "otel_celery_forked")))


os.register_at_fork(before=_write_down)

if os.environ.get("T_FREEZES"):
    signals.worker_init.connect(lambda **_: gc.freeze(), weak=False)


@app.task(name="weight.frozen")
def frozen() -> tuple[int, int]:
    """Count this run in a metric of the task's own; tell the process, and how many of its objects are frozen."""
    runs.add(1)
    return os.getpid(), gc.get_freeze_count()


@app.task(name="weight.grow")
def grow(megabytes: int) -> None:
    """Take so much memory, and give it back: what counts is the most that a process has had."""
    bytearray(megabytes * 1_000_000)
