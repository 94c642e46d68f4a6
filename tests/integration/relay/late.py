"""An app whose worker, or whose pool children, gevent or eventlet patch at some moment.

T_LIBRARY names the library, T_MOMENT when it patches, T_WAY how metrics and spans are switched on. Celery itself runs
no task where the main process of a prefork or solo pool is patched before the consumer is made.

Run as a script this is ``celery``, for a pool of greenlets: ``before`` and ``after`` are before and after all of ours.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from typing import Any


def patch_at(moment: str) -> None:
    """Patch everything, if this is the moment."""
    if moment != os.environ.get("T_MOMENT"):
        return
    if os.environ["T_LIBRARY"] == "gevent":
        import_module("gevent.monkey").patch_all()
    else:
        import_module("eventlet").monkey_patch()


def switch_on() -> None:
    """Have the workers of this process observed, in one of the ways."""
    if WAY == "hook":
        import_module("otel_celery.hook")
    elif WAY == "auto":
        import_module("otel_celery.auto").CeleryWorkerInstrumentor().instrument()
    else:
        import_module("otel_celery").instrument(app)


WAY = os.environ["T_WAY"]
patch_at("before")

from celery import Celery, signals  # noqa: E402
from celery.exceptions import SoftTimeLimitExceeded  # noqa: E402
from opentelemetry import metrics  # noqa: E402

app = Celery("late", broker=os.environ.get("T_BROKER", "memory://"))
app.conf.broker_connection_retry_on_startup = True
orders = metrics.get_meter("late").create_counter("late.orders")
switch_on()
patch_at("after")

from tests.integration.worker.proj import note  # noqa: E402  it imports what Celery wants to be patched


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


if __name__ == "__main__":
    import_module("celery.__main__").main()
