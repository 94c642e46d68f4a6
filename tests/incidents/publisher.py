"""A web process of sorts: it serves its metrics, and while there is a file it publishes what cannot be serialised."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from kombu.exceptions import EncodeError
from prometheus_client import REGISTRY, start_http_server

from otel_celery import instrument
from tests.incidents.app import app
from tests.services import LOOPBACK

PAUSE = 0.1


def main() -> None:
    """Publish until ended."""
    instrument(app, registry=REGISTRY)
    start_http_server(int(os.environ["PROMETHEUS_PORT"]), LOOPBACK)
    while True:
        time.sleep(PAUSE)
        if Path(os.environ["T_FAILS"]).exists():
            with suppress(EncodeError):
                app.send_task("incidents.work", (object(),))


if __name__ == "__main__":
    main()
