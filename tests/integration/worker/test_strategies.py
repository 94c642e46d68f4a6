"""Requests that somebody else's Strategy buffers, drops or runs by itself: the books balance, and the log names it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.harness import wait_until
from tests.integration.worker.rows import POOLS
from tests.services import require

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Scrape, Worker

EACH_POOL = pytest.mark.parametrize("pool", [pytest.param(pool, marks=getattr(pytest.mark, pool)) for pool in POOLS])
EACH = 3
ENDS = {
    "own.drop": "unreported",
    "own.here": "success",
    "own.fail_here": "failure",
    "own.late": "success",
    "own.eager": "unreported",
    "own.pool": "unreported",
    "own.told": "success",
    "own.using_pool": "success",
    "own.asking": "success",
    "own.asking_drop": "unreported",
    "own.reject": "rejected",
    "own.leaning": "success",
}
UNHEARD = sorted(name for name, status in ENDS.items() if status == "unreported")


def start(site: Site, pool: str) -> Worker:
    """Start a worker of the app whose tasks have Strategies of their own."""
    return site.start(pool=pool, concurrency=2, app="tests.integration.worker.proj_strategies").wait_ready()


def balanced(worker: Worker, received: int, ended: int) -> Scrape:
    """Wait until so many requests have come and ended, and have the books balance."""

    def there() -> Scrape | None:
        scrape = worker.scrape()
        books = scrape.books()
        return scrape if (books["received"], books["ended"]) == (received, ended) else None

    try:
        scrape = wait_until(there, f"{received} received, {ended} ended")
    except AssertionError as error:
        raise AssertionError(f"{error}: {worker.scrape().books()}\n{worker.log[-6000:]}") from None
    assert scrape.balances(), scrape.books()
    assert scrape.value("otel_celery_internal_errors_total") == 0
    return scrape


@EACH_POOL
def test_the_books_balance_whoever_runs_a_request(site: Site, pool: str) -> None:
    """What is told is what it was; what is let go of is unreported; what is kept is reserved or scheduled."""
    worker = start(site, pool)
    for name in ENDS:
        for _ in range(EACH):
            site.client.send_task(name)
    for _ in range(2):
        site.client.send_task("own.keep")
        site.client.send_task("own.leaning", eta=datetime.now(timezone.utc) + timedelta(hours=1))
    total = EACH * len(ENDS)
    scrape = balanced(worker, total + 4, total)
    assert {name: scrape.ends(name) for name in ENDS} == {name: {status: EACH} for name, status in ENDS.items()}
    assert (scrape.books()["reserved"], scrape.books()["scheduled"]) == (2, 2)
    runs = scrape.value("celery_task_runtime_seconds_count")
    assert runs == EACH * 3, "of those that Celery's own measure comes from"
    _is_named(worker, UNHEARD)


@EACH_POOL
def test_celery_batches_is_counted_and_named(site: Site, pool: str) -> None:
    """Twelve batched tasks ended, nobody says how; what waits in its buffer is reserved."""
    require(find_spec("celery_batches"), "celery-batches is not installed: pip install --no-deps celery-batches")
    worker = start(site, pool)
    for _ in range(12):
        site.client.send_task("own.batch")
    for _ in range(5):
        site.client.send_task("own.batch_later")
    scrape = balanced(worker, 17, 12)
    assert scrape.ends("own.batch") == {"unreported": 12}
    assert scrape.ends("own.batch_later") == {}
    assert scrape.books()["reserved"] == 5
    _is_named(worker, ["own.batch"])
    worker.stop()
    assert "otel-celery: an error of its own" not in worker.log


def _is_named(worker: Worker, tasks: list[str]) -> None:
    """Wait until the log names each task, once."""
    wait_until(lambda: worker.log.count("status 'unreported'") >= len(tasks), "the log names the tasks")
    for name in tasks:
        assert worker.log.count(f"Strategy of task '{name}'") == 1
    assert worker.log.count("status 'unreported'") == len(tasks)
