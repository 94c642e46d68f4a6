"""Workers that gevent or eventlet patch late: metrics and spans arrive while they wait, limits are the task's."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import PATIENCE, wait_until
from tests.otlp import http_receiver
from tests.services import require

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site

pytestmark = [pytest.mark.xdist_group("relay-late"), pytest.mark.timeout(180)]

NUMBER = 10


@pytest.mark.parametrize(
    ("library", "moment", "pool"),
    [
        ("gevent", "child", "prefork"),
        ("gevent", "task", "prefork"),
        ("gevent", "setup", "prefork"),
        ("gevent", "ready", "prefork"),
        ("gevent", "task", "solo"),
        ("eventlet", "child", "prefork"),
        ("eventlet", "task", "prefork"),
    ],
)
def test_a_worker_that_is_patched_late_is_heard(site: Site, library: str, moment: str, pool: str) -> None:
    """What it recorded and its spans arrive while it waits for the next task, and a soft limit reaches the task."""
    require(find_spec(library), f"{library} is not installed: pip install --group green")
    with http_receiver() as receiver:
        environment = {
            "T_LIBRARY": library,
            "T_MOMENT": moment,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        }
        worker = site.start(
            app="tests.integration.relay.late", switch=(), environment=environment, pool=pool
        ).wait_ready()
        for _ in range(NUMBER):
            site.client.send_task("late.one")
        wait_until(lambda: worker.record()["ran one"] == NUMBER, "the tasks have run")
        wait_until(lambda: worker.scrape().value("late_orders_total") == NUMBER, "their metrics arrive")
        wait_until(lambda: len(receiver.spans("run/late.one")) == NUMBER, "their spans arrive")
        begun = time.monotonic()
        for _ in range(5):  # nothing happens, and a main process that was patched turns no hub: each took 10 s
            worker.scrape()
        assert time.monotonic() - begun < PATIENCE
        if pool == "prefork":  # the others have no soft limits
            site.client.send_task("late.slow")
            wait_until(lambda: worker.record()["ran soft"] == 1, "the soft limit reaches the task")
            wait_until(lambda: worker.scrape().value("late_orders_total") == NUMBER + 1, "what was recorded is kept")
        assert worker.stop() == 0
