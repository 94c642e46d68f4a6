"""An app whose traffic is known: letters of ten priorities, a schedule, and tasks that wait until they are let go.

As a script it publishes a task so many times, and pushes what it counted as it ends.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from celery import Celery
from kombu import Queue

from otel_celery import instrument

KIND = os.environ.get("T_KIND", "redis")
ARGUMENTS = {"x-queue-type": os.environ.get("T_QUEUE_TYPE", "quorum")} if KIND == "rabbitmq" else {}
PRIORITIES = 10
QUEUES = ("letters", "stamps")

app = Celery("post", broker=os.environ.get("T_BROKER", "memory://"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue="letters",
    task_queues=[Queue(name, routing_key=name, queue_arguments=ARGUMENTS) for name in QUEUES],
    task_routes={"post.stamp": {"queue": "stamps"}},
    worker_prefetch_multiplier=1,
    beat_schedule={"stamp": {"task": "post.stamp", "schedule": 0.5}},
    beat_max_loop_interval=1,
)
if KIND == "redis":
    app.conf.broker_transport_options = {"priority_steps": list(range(PRIORITIES))}
instrument(app)


@app.task(name="post.send")
def send() -> None:
    """Send a letter."""


@app.task(name="post.hold")
def hold(until: str) -> None:
    """Run until a file is there."""
    while not Path(until).exists():
        time.sleep(0.05)


@app.task(name="post.stamp")
def stamp() -> None:
    """Run because the schedule says so."""


if __name__ == "__main__":
    name, count, *arguments = sys.argv[1:]
    for number in range(int(count)):
        app.tasks[name].apply_async(arguments, priority=number % PRIORITIES)
