"""An app whose pool children are patched by gevent or eventlet late, after they were forked or just before.

T_LIBRARY names the library, T_MOMENT when it patches. Celery itself runs no task where the main process of a prefork
pool is patched before the consumer is made, so those moments are not here.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from typing import Any

from celery import Celery, signals
from celery.exceptions import SoftTimeLimitExceeded
from opentelemetry import metrics

from otel_celery import instrument
from tests.integration.worker.proj import note

app = Celery("late", broker=os.environ.get("T_BROKER", "memory://"))
app.conf.broker_connection_retry_on_startup = True
orders = metrics.get_meter("late").create_counter("late.orders")
instrument(app)


def patch_at(moment: str) -> None:
    """Patch everything, if this is the moment."""
    if moment != os.environ.get("T_MOMENT"):
        return
    if os.environ["T_LIBRARY"] == "gevent":
        import_module("gevent.monkey").patch_all()
    else:
        import_module("eventlet").monkey_patch()


@signals.celeryd_after_setup.connect
def _after_setup(**_: Any) -> None:
    patch_at("setup")


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    patch_at("ready")


@signals.worker_process_init.connect
def _child(**_: Any) -> None:
    patch_at("child")


@app.task(name="late.one")
def one() -> None:
    """Record one order."""
    patch_at("task")
    orders.add(1)
    note("ran", "one")


@app.task(name="late.slow", soft_time_limit=1)
def slow() -> None:
    """Record, and compute until the soft limit ends it; or never."""
    orders.add(1)
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < 20:
            pass
    except SoftTimeLimitExceeded:
        note("ran", "soft")
