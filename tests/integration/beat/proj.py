"""The app under test, whose schedule has an entry that is sent often, one whose task refuses, and one for the night.

Configured by environment variables, since every beat is a process of its own.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from celery import Celery, Task
from celery.beat import PersistentScheduler
from celery.schedules import crontab

from otel_celery import instrument
from otel_celery.serve import health

if TYPE_CHECKING:
    from celery.result import AsyncResult

env = os.environ.get
app = Celery("proj", broker=env("T_BROKER", "memory://"), backend=env("T_BACKEND") or None)
app.conf.update(
    beat_schedule={
        "often": {"task": "proj.often", "schedule": 0.25},
        "refused": {"task": "proj.refused", "schedule": 0.25},
        "nightly": {"task": "proj.nightly", "schedule": crontab(hour=4, minute=0)},
    },
    beat_schedule_filename=env("T_SCHEDULE"),
    beat_max_loop_interval=int(env("T_LOOP", "0")) or None,
    broker_connection_retry_on_startup=True,
    result_expires=None,
    worker_hijack_root_logger=False,
    redbeat_redis_url=env("T_REDBEAT"),
    redbeat_lock_timeout=5,
    worker_pool_start_method=env("T_START_METHOD") or "fork",
)
if env("T_IMPORT"):
    app.conf.imports = [os.environ["T_IMPORT"]]
if env("T_PATIENCE"):
    health.BROKER_SECONDS = health.TICK_SECONDS = float(os.environ["T_PATIENCE"])


@app.task(name="proj.often")
def often() -> None:
    """Do nothing, often."""


class Refused(Task):
    """A task that nobody can publish."""

    name = "proj.refused"

    def apply_async(self, *_: object, **__: object) -> AsyncResult:
        """Refuse."""
        return refuse()


def refuse() -> NoReturn:
    """Refuse."""
    raise ValueError("refused")


app.register_task(Refused())


class Stuck(PersistentScheduler):
    """A scheduler that is stuck in its tick for as long as there is a file."""

    def tick(self, *args: object, **kwargs: object) -> float:
        """Wait for the file to go."""
        while Path(os.environ["T_STUCK"]).exists():
            time.sleep(0.05)
        return float(super().tick(*args, **kwargs))


if env("T_INSTRUMENT", "1") == "1":
    instrument(app)
