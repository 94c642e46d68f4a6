"""Read with ``-I`` into a worker: writes down how long each message was on its way to the main process.

A line for each message, in T_ARRIVALS: the seconds from its publisher's header to Celery's own ``task_received``.
"""

from __future__ import annotations

import atexit
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import signals

from otel_celery.lifecycle import SENT_HEADER

if TYPE_CHECKING:
    from celery.worker.request import Request

_main = os.getpid()
_taken: list[float] = []


@signals.task_received.connect(weak=False)
def _note(request: Request, **_: Any) -> None:
    _taken.append(time.time() - request.request_dict[SENT_HEADER])


@atexit.register
def _write_down() -> None:
    if os.getpid() == _main:
        Path(os.environ["T_ARRIVALS"]).write_text("".join(f"{seconds}\n" for seconds in _taken))
