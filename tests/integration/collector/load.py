"""A little of everything, so that many series have values that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

TASKS = {"proj.succeed": 9, "proj.fail": 4, "proj.retry_once": 2, "proj.reject": 2, "proj.ignore": 1}
ENDS = sum(TASKS.values()) + TASKS["proj.retry_once"]
"""A retry is an end as well."""


def play(site: Site, *workers: Worker, queue: str = "celery") -> None:
    """Publish tasks that succeed, fail, retry, reject and ignore, and wait until they have ended and nothing moves."""

    def ended() -> float:
        return sum(worker.scrape().value("celery_tasks_total") for worker in workers)

    before = ended()
    for name, number in TASKS.items():
        for _ in range(number):
            site.client.send_task(name, queue=queue)
    wait_until(lambda: ended() == before + ENDS, "all tasks have ended", 60)
    for worker in workers:
        worker.settled()
