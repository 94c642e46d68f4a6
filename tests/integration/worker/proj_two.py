"""Two apps, of which the one whose worker does not run here is instrumented; the other one's worker says something."""

from __future__ import annotations

import logging
import os

from celery import Celery, signals

from otel_celery import instrument
from otel_celery.saying import say

legacy = Celery("legacy", broker="memory://")
app = Celery("two", broker=os.environ.get("T_BROKER", "memory://"))
instrument(legacy)


@signals.worker_ready.connect
def _say(**_: object) -> None:
    say(logging.ERROR, "somebody says something")
