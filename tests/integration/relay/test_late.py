"""Workers that gevent or eventlet patch late: metrics and spans arrive while they wait, limits are the task's."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import PATIENCE, wait_until
from tests.integration.worker.ways import pools
from tests.otlp import http_receiver
from tests.services import require

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker
    from tests.otlp import Receiver

pytestmark = [pytest.mark.xdist_group("relay-late"), pytest.mark.timeout(180)]

NUMBER = 10


def patched(library: str, moment: str, way: str, receiver: Receiver) -> dict[str, str]:
    """Ask `late` for a patch by this library at this moment, and for spans."""
    return {
        "T_LIBRARY": library,
        "T_MOMENT": moment,
        "T_WAY": way,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
    }


def tasks_are_heard(site: Site, worker: Worker, receiver: Receiver) -> None:
    """Run a few tasks: their metrics and spans arrive while the worker waits for the next one."""
    for _ in range(NUMBER):
        site.client.send_task("late.one")
    wait_until(lambda: worker.record()["ran one"] == NUMBER, "the tasks have run")
    wait_until(lambda: worker.scrape().value("late_orders_total") == NUMBER, "their metrics arrive")
    wait_until(lambda: len(receiver.spans("run/late.one")) == NUMBER, "their spans arrive")


@pytest.mark.parametrize(
    ("way", "library", "moment", "pool"),
    [
        ("instrument", "gevent", "child", "prefork"),
        ("instrument", "gevent", "task", "prefork"),
        ("instrument", "gevent", "setup", "prefork"),
        ("instrument", "gevent", "ready", "prefork"),
        ("instrument", "gevent", "task", "solo"),
        ("instrument", "eventlet", "child", "prefork"),
        ("instrument", "eventlet", "task", "prefork"),
        ("hook", "gevent", "child", "prefork"),
        ("hook", "eventlet", "child", "prefork"),
        ("auto", "gevent", "child", "prefork"),
        ("auto", "eventlet", "child", "prefork"),
    ],
)
def test_a_worker_that_is_patched_late_is_heard(site: Site, way: str, library: str, moment: str, pool: str) -> None:
    """What it recorded and its spans arrive while it waits for the next task, and a soft limit reaches the task."""
    require(find_spec(library), f"{library} is not installed: pip install --group green")
    with http_receiver() as receiver:
        environment = patched(library, moment, way, receiver)
        worker = site.start(
            app="tests.integration.relay.late",
            switch=(),
            environment=environment,
            pool=pool,
        ).wait_ready()
        tasks_are_heard(site, worker, receiver)
        begun = time.monotonic()
        for _ in range(5):  # nothing happens, and a main process that was patched turns no hub: each took 10 s
            worker.scrape()
        assert time.monotonic() - begun < PATIENCE
        if pool == "prefork":  # the others have no soft limits
            site.client.send_task("late.slow")
            wait_until(lambda: worker.record()["ran soft"] == 1, "the soft limit reaches the task")
            wait_until(lambda: worker.scrape().value("late_orders_total") == NUMBER + 1, "what was recorded is kept")
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("way", "moment"),
    [("instrument", "before"), ("instrument", "after"), ("hook", "before"), ("auto", "after")],
)
@pytest.mark.parametrize("library", pools("gevent", "eventlet"))
def test_a_pool_of_greenlets_is_heard_whenever_it_is_patched(site: Site, library: str, way: str, moment: str) -> None:
    """Before or after each way to switch it on: tasks run at once, and metrics and spans arrive."""
    require(find_spec(library), f"{library} is not installed: pip install --group green")
    with http_receiver() as receiver:
        environment = patched(library, moment, way, receiver)
        worker = site.start(
            app="tests.integration.relay.late",
            switch=(),
            launcher=(sys.executable, "-m", "tests.integration.relay.late"),
            environment=environment,
            pool=library,
            concurrency=NUMBER,
        ).wait_ready()
        tasks_are_heard(site, worker, receiver)
        assert worker.settled().ends("late.one") == {"success": NUMBER}
        assert worker.stop() == 0
