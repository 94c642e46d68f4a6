"""The app under test, with tasks that hold their slot until they are let go, and a message that holds the consumer.

The port's half a minute is T_STALE seconds here. On filesystem:// the broker is the folder T_FOLDER; on memory://,
which no other process can reach, the worker publishes to itself as often as T_SELF says.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import signals

from otel_celery.serve import health
from tests.integration.worker.proj import app, noted

__all__ = ["app"]

health.LOOP_STALE_SECONDS = float(os.environ["T_STALE"])

if folder := os.environ.get("T_FOLDER"):
    folders = ("data_folder_in", "data_folder_out", "control_folder")
    app.conf.update(broker_transport_options=dict.fromkeys(folders, folder))
if os.environ["T_BROKER"].startswith("sqla+"):
    app.conf.update(broker_transport_options={})  # they are SQLAlchemy's
GO = Path(os.environ["T_RECORD"]).with_suffix(".go")


@app.task(name="proj.held")
def held():
    """Run until the test says so."""
    with noted("held"):
        while not GO.exists():
            time.sleep(0.05)


@app.task(name="proj.holding")
def holding():
    """Be received: the consumer does nothing more from then on, see below."""


@signals.task_received.connect
def _hold_the_consumer(request=None, **_):
    while request.type == "proj.holding" and not GO.exists():
        time.sleep(0.05)


@signals.worker_ready.connect
def _publish(**_):
    for _number in range(int(os.environ.get("T_SELF", "0"))):
        held.delay()
