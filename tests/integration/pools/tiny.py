"""A tiny app for the pools' tests: a task that leaves a mark when it starts and when it is through, and a poison."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from celery import Celery

app = Celery("tiny")
app.conf.update(broker_connection_retry_on_startup=True, worker_enable_remote_control=False, task_ignore_result=True)


@app.task(name="tiny.nap")
def nap(seconds: float, mark: str) -> None:
    """Sleep between two marks."""
    Path(mark).write_text("begun")
    time.sleep(seconds)
    Path(mark).write_text("through")


@app.task(name="tiny.poison", acks_late=True, reject_on_worker_lost=True)
def poison() -> None:
    """Kill this process: the message is delivered again."""
    os.kill(os.getpid(), signal.SIGKILL)
