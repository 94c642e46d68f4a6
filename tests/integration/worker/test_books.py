"""The conservation law holds whenever nothing moves: after a lost connection, and while a worker drains."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
import redis

from tests.integration.worker.harness import wait_until
from tests.integration.worker.rows import GREEN, POOLS, VERSION

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

EACH_POOL = pytest.mark.parametrize("pool", [pytest.param(pool, marks=getattr(pytest.mark, pool)) for pool in POOLS])


def _sever(url: str) -> None:
    """Close every connection that the broker has, as a failing network would."""
    with redis.Redis.from_url(url) as server:
        for kind in ("normal", "pubsub"):
            server.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def _fill(site: Site, worker: Worker, seconds: float) -> None:
    """Give a worker with one slot something of everything: running, reserved, scheduled, rate-limited."""
    site.client.send_task("proj.endless", (seconds,))
    wait_until(lambda: worker.record()["began endless"], "the long task began")
    for _ in range(2):
        site.client.send_task("proj.succeed")
    site.client.send_task("proj.succeed", eta=datetime.now(timezone.utc) + timedelta(hours=1))
    for _ in range(3):  # the bucket lets the first pass
        site.client.send_task("proj.limited")


def _limited_anew(site: Site) -> bool:
    """Give tasks another rate limit by remote control, while some wait for the old one."""
    (answer,) = site.client.control.rate_limit("proj.limited", "2/h", reply=True, timeout=10, limit=1)
    return bool(answer == {"w@localhost": {"ok": "new rate limit set successfully"}})


@pytest.mark.prefork
def test_everything_received_stands_somewhere(site: Site) -> None:
    """Running, reserved and scheduled tasks are told apart, and the books balance at every moment."""
    worker = site.start(concurrency=1, environment={"T_PREFETCH": "20"}).wait_ready()
    _fill(site, worker, 30)
    wait_until(lambda: worker.scrape().books()["received"] == 7, "all are received")
    scrape = worker.scrape()
    assert scrape.books() == {"received": 7, "ended": 0, "active": 1, "reserved": 3, "scheduled": 3, "returned": 0}
    assert _limited_anew(site)
    assert worker.scrape().books() == scrape.books(), "what waits for the old limit is scheduled as before"
    assert 0 < scrape.value("celery_worker_oldest_active_task_seconds", task_name="proj.endless") < 30
    assert scrape.value("celery_worker_pool_size") == 1


@EACH_POOL
def test_books_balance_after_a_lost_connection(site: Site, pool: str) -> None:
    """What the consumer drops with its connection is returned, and constructed again; the reconnect is counted."""
    environment = {"T_PREFETCH": "20", "T_VISIBILITY": "3"}
    worker = site.start(pool=pool, concurrency=1, environment=environment).wait_ready()
    seconds = 0.1 if pool == "solo" else 4.0
    _fill(site, worker, seconds)
    wait_until(lambda: worker.scrape().books()["received"] == 7, "all are received")
    assert _limited_anew(site)
    _sever(site.broker)
    wait_until(lambda: worker.scrape().value("celery_worker_broker_reconnects_total"), "the worker reconnects")
    wait_until(lambda: worker.record()["finished endless"], "the long task finished")
    scrape = worker.settled(45)
    assert scrape.balances(), scrape.books()
    assert scrape.value("celery_worker_broker_connected") == 1
    assert scrape.value("celery_worker_broker_reconnects_total") == 1
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert scrape.value("celery_task_returned_total") > 0
    assert worker.get("/-/ready") == (200, "ready\n")


@pytest.mark.prefork
def test_readiness_and_the_gauge_follow_the_connection(site: Site) -> None:
    """While the broker is away the worker says so; its port stays open, and a running task is counted."""
    # The broker itself stays: other tests of this session use it. It lets nobody in for a while.
    worker = site.start(concurrency=1).wait_ready()
    site.client.send_task("proj.endless", (3.0,))
    wait_until(lambda: worker.record()["began endless"], "the long task began")
    with redis.Redis.from_url(site.broker) as server:
        limit = server.config_get("maxclients")["maxclients"]
        server.config_set("maxclients", 1)
        try:
            server.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            server.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
            wait_until(lambda: worker.get("/-/ready")[0] == 503, "the worker is not ready")
            assert worker.get("/-/ready") == (503, "the connection to the broker is lost\n")
            assert worker.get("/-/healthy")[0] == 200
            assert worker.scrape().value("celery_worker_broker_connected") == 0
        finally:
            server.config_set("maxclients", int(limit))
    wait_until(worker.is_ready, "the worker is ready again")
    scrape = worker.settled()
    if VERSION >= (5, 6):  # before, Celery's pool forgot the running tasks with the connection
        assert scrape.ends("proj.endless") == {"success": 1}
    assert scrape.value("celery_worker_broker_connected") == 1
    assert scrape.value("celery_worker_broker_reconnects_total") == 1


@EACH_POOL
def test_books_balance_while_a_worker_drains(site: Site, pool: str) -> None:
    """On a warm shutdown the running task is active, what has not started is returned, and the port says so."""
    if pool == "solo":
        pytest.skip("solo runs its task on the thread that would shut down: there is no draining")
    slots = 20 if pool in GREEN else 1  # a green consumer that finds no slot waits for one, and receives nothing
    worker = site.start(pool=pool, concurrency=slots, environment={"T_PREFETCH": "20"}).wait_ready()
    _fill(site, worker, 10.0)
    wait_until(lambda: worker.scrape().books()["received"] == 7, "all are received")
    worker.process.send_signal(signal.SIGTERM)
    wait_until(lambda: worker.scrape().value("celery_worker_draining"), "the worker drains")
    wait_until(lambda: worker.scrape().value("celery_task_returned_total"), "what waits is returned", 5)
    scrape = worker.scrape()
    assert scrape.balances(), scrape.books()
    assert scrape.value("celery_worker_up") == 1
    assert scrape.books()["active"] == 1
    assert scrape.books()["scheduled"] == 0
    assert not scrape.has("celery_worker_queue_info")
    assert worker.get("/-/ready") == (503, "the worker is shutting down\n")
    assert worker.process.wait(20) == 0


@EACH_POOL
def test_what_never_becomes_a_task_is_counted_by_its_reason(site: Site, pool: str) -> None:
    """Unknown, undecodable and invalid messages are counted, no request is received, and no name of theirs shows."""
    worker = site.start(pool=pool).wait_ready()
    first = worker.scrape()
    site.client.send_task("proj.no_such_task")
    site.client.send_task("proj.succeed", headers={"eta": "some day"})
    with site.client.connection_for_write() as connection:
        producer = connection.Producer()
        producer.publish(b"{{{", routing_key="celery", content_type="application/json", content_encoding="utf-8")
        producer.publish({"no": "task"}, routing_key="celery", serializer="json")
    reasons = {"unknown_task": 1, "undecodable": 1, "invalid": 2}
    wait_until(lambda: worker.scrape().value("celery_messages_unknown_total") == 4, "all four are counted")
    scrape = worker.settled()
    assert {r: scrape.value("celery_messages_unknown_total", reason=r) for r in reasons} == reasons
    assert scrape.books()["received"] == 0
    assert "no_such_task" not in scrape.text
    # Before anything came: zeros for what is routed here, and for nothing else.
    assert first.has("celery_task_failed_total", task_name="proj.fail", queue="celery")
    assert not first.has("celery_task_failed_total", task_name="proj.elsewhere")
    assert not any(name.startswith("celery.") for name in first.labels("celery_tasks_total", "task_name"))
    assert first.labels("celery_worker_queue_info", "queue") == {"celery"}
