"""How the children of a pool end: each is counted once, by its reason, on every version of Celery."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

pytestmark = pytest.mark.prefork

EXITS = "celery_worker_process_exits_total"
REASONS = {
    "proj.kill": "killed",
    "proj.segfault": "killed",
    "proj.os_exit": "exited",
    "proj.hard": "timed_out",
    "proj.succeed": "recycled",
}
"""Each task ends its child: the last one since a child runs one task only."""


def exits(worker: Worker) -> dict[str, float]:
    """Count the children that have ended, by reason."""
    scrape = worker.scrape()
    return {reason: scrape.value(EXITS, reason=reason) for reason in scrape.labels(EXITS, "reason")}


def test_each_end_of_a_child_is_counted_once_by_its_reason(site: Site) -> None:
    """Children are killed, crash, exit, are killed for a time limit, or are recycled; nothing else ends one."""
    worker = site.start(concurrency=len(REASONS), arguments=("--max-tasks-per-child", "1")).wait_ready()
    assert exits(worker) == dict.fromkeys(REASONS.values(), 0)
    for task in REASONS:
        site.client.send_task(task)
    wait_until(lambda: sum(exits(worker).values()) >= len(REASONS), "each child has ended")
    assert worker.settled().balances()
    assert exits(worker) == Counter(REASONS.values())
    assert worker.stop() == 0
