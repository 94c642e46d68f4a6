"""A tiny app for the pools' tests: one task, that leaves a mark when it starts and when it is through."""

from __future__ import annotations

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
