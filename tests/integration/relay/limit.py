"""An app whose task gets its soft time limit while its child takes its first measurement, and ends its first span."""

from __future__ import annotations

import os
import signal
import threading
import time

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from opentelemetry import metrics, trace

from otel_celery import instrument
from tests.integration.worker.proj import note

app = Celery("limit", broker=os.environ.get("T_BROKER", "memory://"))
app.conf.broker_connection_retry_on_startup = True
meter = metrics.get_meter("limit")
first, second = meter.create_counter("limit.first"), meter.create_counter("limit.second")
instrument(app)


@app.task(name="limit.aimed")
def aimed(delay: float) -> None:
    """Have the signal of the limit sent so many seconds after the first measurement began, and say what reached us."""
    tracer, begun, is_counted = trace.get_tracer("limit"), threading.Event(), False
    threading.Thread(target=_send, args=(begun, delay), daemon=True).start()
    try:
        begun.set()
        inner = tracer.start_span("inner")  # nobody's current one: OpenTelemetry's detach logs a limit, and drops it
        first.add(1)
        is_counted = True
        inner.end()
        time.sleep(10)
    except SoftTimeLimitExceeded:
        note("reached", "counted" if is_counted else "not-counted")
    else:
        note("swallowed", "counted")
    second.add(1)


def _send(begun: threading.Event, delay: float) -> None:
    begun.wait()
    until = time.perf_counter() + delay
    while time.perf_counter() < until:
        pass
    os.kill(os.getpid(), signal.SIGUSR1)
