"""The application of the incidents: tasks that do what incidents are made of.

Configured by environment variables, since every worker is a process of its own. Its processes' own seconds are divided
by `T_TIMES` as well, where alerts look at them: how often an event loop is asked to turn and a database for messages,
how long Celery waits before it tries a broker again, and the longest sleep of beat.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from celery import Celery, Task
from celery.app.amqp import AMQP
from celery.worker.control import control_command
from kombu import Connection
from kombu.transport.virtual import Transport

from otel_celery import instrument
from otel_celery.observe import consumer

env = os.environ.get
TIMES = float(env("T_TIMES", "1"))
TICK = min(1.0, 30 / TIMES / 4)
"""Seconds, a quarter of the stall that is a fault; Celery's timer has no finer one than a second at its own pace."""
RETRY = {"interval_start": 2 / TIMES, "interval_step": 2 / TIMES, "interval_max": 30 / TIMES}
"""Celery's own numbers."""
consumer.TICK_SECONDS = TICK
Transport.polling_interval = TICK


class Brisk(Connection):
    """A connection that is waited for, and tried again, at this pace."""

    def ensure_connection(self, *given: object, **more: object) -> object:
        """Connect, and try again as often as Celery does."""
        return super().ensure_connection(*given, **{**RETRY, **more})

    def drain_events(self, timeout: float | None = None, **more: object) -> object:
        """Wait for an event, less long than the two seconds of a worker without an event loop."""
        return super().drain_events(timeout=timeout and min(timeout, TICK), **more)


class Quick(AMQP):
    """Celery's AMQP with such connections."""

    Connection = Brisk


app = Celery("incidents", broker=env("T_BROKER", "memory://"), amqp=Quick)
app.conf.update(
    beat_max_loop_interval=300 / TIMES,
    beat_schedule={"daily": {"task": "incidents.work", "schedule": 86400}},
    beat_schedule_filename=env("T_SCHEDULE"),
    broker_connection_retry_on_startup=True,
    task_default_queue=env("T_QUEUE", "celery"),
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    worker_lost_wait=0.5,
    worker_prefetch_multiplier=int(env("T_PREFETCH", "4")),
)


@app.task(name="incidents.work")
def work(seconds: float = 0.0, fails: bool = False) -> None:  # noqa: FBT001, FBT002  a message's arguments
    """Work for a while, and raise at the end if that is asked for."""
    time.sleep(seconds)
    if fails:
        raise ValueError("the bank declined")


@app.task(name="incidents.late", acks_late=True)
def late(path: str) -> None:
    """Hang until there is a file; the message is acknowledged at the end."""
    while not Path(path).exists():
        time.sleep(0.05)


@app.task(name="incidents.busy", bind=True)
def busy(self: Task, seconds: float, path: str, others: int = 0) -> None:
    """Send so many others, work for a while, and send the next one until there is a file."""
    for _ in range(others):
        self.apply_async((seconds, path), queue=self.request.delivery_info["routing_key"])
    time.sleep(seconds)
    if not Path(path).exists():
        self.apply_async((seconds, path), queue=self.request.delivery_info["routing_key"])


@app.task(name="incidents.block")
def block(path: str) -> None:
    """Block the process's hub until there is a file, as a driver does that is not patched."""
    from gevent.monkey import get_original  # type: ignore[import-untyped]

    sleep = get_original("time", "sleep")
    while not Path(path).exists():
        sleep(0.05)


@app.task(name="incidents.fail")
def fail() -> None:
    """Raise."""
    raise ValueError("the bank declined")


@app.task(name="incidents.poison", acks_late=True, reject_on_worker_lost=True)
def poison() -> None:
    """Kill the process that runs it, once the main process has heard of the start; the message comes back."""
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="incidents.slow", time_limit=0.5)
def slow() -> None:
    """Run into the hard time limit."""
    time.sleep(60)


@control_command(args=[("path", str)])
def hold(state: object, path: str) -> None:  # noqa: ARG001  Celery's
    """Hold the worker's event loop up until there is a file."""
    while not Path(path).exists():
        time.sleep(0.05)


if env("T_INSTRUMENT"):
    instrument(app)
