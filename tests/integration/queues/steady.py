"""Publishes letters until a file is there, whatever becomes of the broker, and tells what it saw as it ends."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from tests.integration.queues.post import send

stop, book = Path(sys.argv[1]), Path(sys.argv[2])
taken, refused, threads = 0, 0, 0
while not stop.exists():
    try:
        send.apply_async()
    except Exception:  # noqa: BLE001  kombu's, or the transport's own
        refused += 1
    else:
        taken += 1
        threads = threads or threading.active_count()
    told = {"taken": taken, "refused": refused, "more": threading.active_count() - threads}
    book.with_suffix(".new").write_text(json.dumps(told))
    book.with_suffix(".new").replace(book)
    time.sleep(0.02)
