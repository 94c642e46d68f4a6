"""A worker that is asked to shows the queues of its app too, over a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.integration.worker.conftest import database, open_site
from tests.integration.worker.harness import Worker, wait_until
from tests.integration.worker.ways import HOOK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests import rabbitmq
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Scrape

QUEUES = {"OTEL_PYTHON_CELERY_QUEUES": "true", "OTEL_PYTHON_CELERY_QUEUES_INTERVAL": "1000"}
REFRESHED = "otel_celery_queue_last_refresh_timestamp_seconds"


@pytest.mark.parametrize(
    "pool", [pytest.param(each, marks=getattr(pytest.mark, each)) for each in ("prefork", "gevent")]
)
def test_a_worker_shows_what_waits(site: Site, pool: str) -> None:
    """Its own queue is empty, nothing has failed, and it ends as ever."""
    worker = HOOK.start(site, pool, environment=QUEUES).wait_ready()
    own = next(iter(worker.scrape().labels("celery_worker_queue_info", "queue")))
    wait_until(lambda: worker.scrape().has("celery_queue_length", queue=own), "its queue is shown")
    scrape = worker.scrape()
    assert scrape.value("celery_queue_length", queue=own) == 0
    assert scrape.value("otel_celery_queue_refresh_failures_total") == 0
    assert scrape.has("otel_celery_internal_errors_total", where="queues")
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert "worker" not in {
        label for each in scrape.samples if each.name == "celery_queue_length" for label in each.labels
    }
    worker.process.terminate()
    assert worker.process.wait(30) == 0, worker.log
    assert "Traceback" not in worker.log


def consuming(place: str) -> set[int]:
    """List the connections on which somebody waits for messages of a Redis."""
    with redis.Redis.from_url(place) as server:
        number = place.rpartition("/")[2]
        return {int(one["id"]) for one in server.client_list() if (one["cmd"], one["db"]) == ("brpop", number)}


def kept_on_one_connection(site: Site, connections: Callable[[], set[Any]]) -> Scrape:
    """Have a worker ask for a queue that does not exist, three times over, between two tasks."""
    worker = HOOK.start(site, "solo", environment=QUEUES).wait_ready()

    def runs(number: int) -> None:
        site.client.send_task("proj.succeed")
        wait_until(lambda: worker.scrape().ends("proj.succeed") == {"success": number}, f"{number} succeeded", 60)

    runs(1)
    wait_until(lambda: worker.scrape().has(REFRESHED), "the broker is asked", 60)
    before = connections()
    assert before
    _refreshed(worker, 3)
    runs(2)
    assert connections() == before
    scrape = worker.scrape()
    assert scrape.value("celery_worker_broker_reconnects_total") == 0
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert scrape.has("celery_queue_length", queue="celery")
    assert "'another'" not in worker.log  # which has the name of a queue that failed
    assert "Traceback" not in worker.log
    return scrape


def _refreshed(worker: Worker, times: int) -> None:
    """Wait until the broker was asked so many times more."""
    last = worker.scrape().value(REFRESHED)
    for _ in range(times):
        wait_until(lambda: worker.scrape().value(REFRESHED) > last, "the broker is asked again", 60)  # noqa: B023  at once
        last = worker.scrape().value(REFRESHED)


@pytest.mark.solo
def test_a_queue_that_is_missing_leaves_the_workers_connection_alone_on_redis(redis_url: str, tmp_path: Path) -> None:
    """The worker goes on with the one that it consumed on before; what its routes name exists, and is empty."""
    with open_site(database(redis_url, 7), database(redis_url, 2), tmp_path) as site:
        scrape = kept_on_one_connection(site, lambda: consuming(site.broker))
    assert scrape.value("celery_queue_length", queue="another") == 0


@pytest.mark.solo
@pytest.mark.rabbitmq
def test_a_queue_that_is_missing_leaves_the_workers_connection_alone_on_rabbitmq(
    managed: rabbitmq.Node, redis_url: str, tmp_path: Path
) -> None:
    """Each question about it closes a channel, which is one of our own connection's; no connection comes or goes."""
    with open_site(managed.url, database(redis_url, 2), tmp_path) as site:
        scrape = kept_on_one_connection(site, managed.connections)
    assert not scrape.has("celery_queue_length", queue="another")


@pytest.mark.solo
def test_no_worker_asks_unless_told_to(site: Site) -> None:
    """Without the variable there is no thread, and no family of the queues."""
    worker = HOOK.start(site, "solo").wait_ready()
    assert not worker.scrape().has("otel_celery_queue_refresh_failures_total")
