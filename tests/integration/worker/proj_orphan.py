"""The app under test with a task that forks a process of its own, which outlives the worker."""

from __future__ import annotations

import os
import time

from tests.integration.worker.proj import app


@app.task(name="proj.leave_behind")
def leave_behind():
    """Fork a process that sleeps for a while; Celery asks the kernel to end its own children with their parent."""
    pid = os.fork()
    if not pid:
        time.sleep(20)
        os._exit(0)
    return pid
