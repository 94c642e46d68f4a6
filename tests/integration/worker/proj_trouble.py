"""The app with a task that kills its process and comes back, for ever."""

from __future__ import annotations

import os
import signal

from tests.integration.worker import proj

app = proj.app


@app.task(name="proj.poison", acks_late=True, reject_on_worker_lost=True)
def poison():
    """Kill this process: the message is delivered again."""
    os.kill(os.getpid(), signal.SIGKILL)
