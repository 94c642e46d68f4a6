"""Publishes letters until a file is there, whatever becomes of the broker, and keeps a book of what it saw."""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from pathlib import Path

from tests.integration.queues.post import KIND, app, send

if KIND == "rabbitmq":  # whose socket also takes what a queue never gets
    app.conf.broker_transport_options = {"confirm_publish": True}
stop, book = Path(sys.argv[1]), Path(sys.argv[2])
taken, refused, threads, files = 0, 0, 0, 0


def count_files() -> int:
    """Count what is open, without connections of kombu's that only wait to be collected."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def write_down(**more: int) -> None:
    """Write down what was seen so far, and how many threads there are more than after the first message."""
    told = {"taken": taken, "refused": refused, "threads": threading.active_count() - threads, **more}
    book.with_suffix(".new").write_text(json.dumps(told))
    book.with_suffix(".new").replace(book)


while not stop.exists():
    try:
        send.apply_async()
    except Exception:  # noqa: BLE001  kombu's, or the transport's own
        refused += 1
    else:
        taken += 1
        threads = threads or threading.active_count()
        files = files or count_files()
    write_down()
    time.sleep(0.02)
write_down(files=count_files() - files)
