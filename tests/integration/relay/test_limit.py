"""A soft time limit that is aimed at a real child's first measurement and first span."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import wait_until
from tests.otlp import http_receiver

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site

pytestmark = [pytest.mark.xdist_group("relay-limit"), pytest.mark.timeout(180)]

RUNS = 60
SPREAD = 0.004
"""The seconds from the measurement's beginning over which the limits are spread."""


def dropped_by_python(log: str) -> list[str]:
    """List the limits that came while a callback of the interpreter's own ran, such as that of a weak reference.

    Python ignores whatever is raised there, with a traceback. None of it may be of a function of ours.
    """
    found = [text.partition("SoftTimeLimitExceeded()")[0] for text in log.split("Exception ignored in")[1:]]
    assert not [text for text in found if "otel_celery" in text], found
    return found


def test_every_limit_reaches_its_task(site: Site) -> None:
    """Each run is its child's first: none is swallowed, and what is recorded after the limit is counted once."""
    with http_receiver() as receiver:
        environment = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT": "30000",
        }
        worker = site.start(
            app="tests.integration.relay.limit",
            switch=(),
            environment=environment,
            arguments=("--max-tasks-per-child", "1"),
        ).wait_ready()
        for number in range(RUNS):
            site.client.send_task("limit.aimed", [SPREAD * number / RUNS])
        wait_until(lambda: worker.record().total() == RUNS, "every run has told", 120)
        record = worker.record()
        reached = record["reached counted"] + record["reached not-counted"]
        assert reached + len(dropped_by_python(worker.log)) == RUNS, record
        assert record["reached not-counted"], record
        wait_until(lambda: worker.scrape().value("limit_second_total") == RUNS, "what came after is counted")
        first = worker.scrape().value("limit_first_total")
        assert record["reached counted"] <= first <= RUNS, (record, first)
        assert worker.stop() == 0
        assert len(receiver.spans("run/limit.aimed")) == RUNS
