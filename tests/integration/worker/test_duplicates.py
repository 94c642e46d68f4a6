"""A message delivered again after its task succeeded: worker_deduplicate_successful_tasks skips it, and so do we."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import redis

from tests.integration.worker.harness import wait_until
from tests.integration.worker.rows import POOLS

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site

EACH_POOL = pytest.mark.parametrize("pool", [pytest.param(pool, marks=getattr(pytest.mark, pool)) for pool in POOLS])


def _delivered_again(raw: bytes) -> str:
    """Make of a message the one that the broker delivers when it saw no acknowledgement."""
    message = json.loads(raw)
    message["properties"]["delivery_info"]["redelivered"] = True
    message["properties"]["delivery_tag"] += "-again"
    return json.dumps(message)


@EACH_POOL
def test_a_duplicate_that_celery_skips_is_ignored(site: Site, pool: str) -> None:
    """No second success, no duration, no runtime, and no later moment of success."""
    site.client.send_task("proj.succeed")
    with redis.Redis.from_url(site.broker) as server:
        raw = server.lindex("celery", 0)
        environment = {"T_ACKS_LATE": "1", "T_DEDUPLICATE": "1"}
        worker = site.start(pool=pool, concurrency=1, environment=environment).wait_ready()
        wait_until(lambda: worker.scrape().ends("proj.succeed") == {"success": 1}, "the first ran")
        first = worker.settled().value("celery_task_last_success_timestamp_seconds")
        server.lpush("celery", _delivered_again(raw))
    wait_until(lambda: worker.scrape().value("celery_tasks_total") == 2, "the second was skipped")
    scrape = worker.settled()
    assert worker.record()["began succeed"] == 1
    assert scrape.ends("proj.succeed") == {"success": 1, "ignored": 1}
    assert scrape.value("celery_task_redelivered_total") == 1
    assert scrape.value("celery_task_succeeded_total") == 1
    assert scrape.value("celery_task_duration_seconds_count") == 1
    assert scrape.value("celery_task_runtime_seconds_count") == 1
    assert scrape.value("celery_task_last_success_timestamp_seconds") == first > 0
    assert scrape.balances(), scrape.books()
