"""contrib's instrumentation still has the names that we use."""

from __future__ import annotations

import os
import subprocess
import sys

from celery import signals
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from otel_celery.trace import contrib
from otel_celery.trace.insistence import Insistence

PUBLISHER = """
import sys
from celery import Celery
from otel_celery import instrument
app = Celery("proj", broker="memory://")
instrument(app)
assert "kombu.utils.eventio" not in sys.modules, "whoever patches now is too late"
app.send_task("proj.ok")
assert "opentelemetry.instrumentation.celery" in sys.modules, "the message has its span"
"""


def test_contrib_is_not_imported_before_the_first_message() -> None:
    """A process may be patched after it was instrumented: kombu's event loop keeps the ``poll`` that it finds."""
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "console"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", PUBLISHER], env=environment, check=True, timeout=60)


def test_contrib_is_switched_on_and_off_without_metrics(kept) -> None:
    """Its handlers are connected once, and gone afterwards; its histogram records nothing."""
    before = len(signals.before_task_publish.receivers)
    contrib.switch_on(kept.provider, Insistence().whole)
    assert contrib.is_on()
    assert len(signals.before_task_publish.receivers) == before + 1
    metrics = CeleryInstrumentor().metrics
    assert metrics is not None
    assert type(metrics["flower.task.runtime.seconds"]).__name__ == "NoOpHistogram"
    contrib.begin_publish({"sender": "proj.add", "headers": {"id": "1", "task": "proj.add"}, "body": ()})
    assert [span.name for span in kept.ended] == ["apply_async/proj.add"]
    contrib.switch_off()
    contrib.switch_off()
    assert not contrib.is_on()
    assert len(signals.before_task_publish.receivers) == before
