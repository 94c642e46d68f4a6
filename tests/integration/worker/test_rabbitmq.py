"""The same on RabbitMQ: its redeliveries, its consumer tags, and what it does with a lost connection."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kombu import Connection, Exchange, Producer

from tests.integration.worker.conftest import Site, database, open_site
from tests.integration.worker.harness import wait_until
from tests.integration.worker.rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.prefork, pytest.mark.rabbitmq]

SMALLER_SET = ("succeed", "fail", "retry_once", "reject", "ignore", "hard", "kill", "kill_requeued_once")


@pytest.fixture
def rabbit(rabbitmq_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    """Give a site on RabbitMQ, with results in Redis and a queue that nothing is left in."""
    with open_site(rabbitmq_url, database(redis_url, 2), tmp_path) as opened:
        with opened.client.connection_for_write() as connection:
            for queue in ("celery", "orders", "invoices"):
                connection.default_channel.queue_delete(queue)
        yield opened


def test_ends_are_counted_once_on_rabbitmq(rabbit: Site) -> None:
    """The smaller set of ends comes out as on Redis, with the same books."""
    rows = [row for row in ROWS if row.name in SMALLER_SET]
    worker = rabbit.start(concurrency=2, environment={"T_ACKS_LATE": "1"}).wait_ready()
    for row in rows:
        (row.send or (lambda site, _, task: site.client.send_task(task)))(rabbit, worker, row.task)
    wanted = sum(sum(row.expected(backend=True).values()) for row in rows)
    wait_until(lambda: worker.scrape().value("celery_tasks_total") >= wanted, f"{wanted} ends")
    scrape = worker.settled()
    assert {row.name: scrape.ends(row.task) for row in rows} == {row.name: row.expected(backend=True) for row in rows}
    assert scrape.balances(), scrape.books()
    assert scrape.labels("celery_task_received_total", "queue") == {"celery"}
    assert scrape.value("celery_task_redelivered_total", task_name="proj.kill_requeued_once") == 1


def test_the_queue_is_the_one_that_the_consumer_tag_names(rabbit: Site) -> None:
    """Messages that come through a topic exchange are told apart by queue, which their routing key does not name."""
    worker = rabbit.start(environment={"T_QUEUES": "exchanges"}).wait_ready()
    headers = {"task": "proj.succeed", "lang": "py", "argsrepr": "()", "kwargsrepr": "{}"}
    with Connection(rabbit.broker) as connection:
        producer = Producer(connection.default_channel, Exchange("events", type="topic"), serializer="json")
        for number, key in enumerate(("order.new", "order.paid", "invoice.eu.sent")):
            ids = {"id": f"t{number}", "root_id": f"t{number}"}
            body: tuple[Any, ...] = ((), {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})
            producer.publish(body, routing_key=key, headers={**headers, **ids}, correlation_id=f"t{number}")
    wait_until(lambda: worker.scrape().value("celery_tasks_total") == 3, "three ends")
    scrape = worker.settled()
    received = {q: scrape.value("celery_task_received_total", queue=q) for q in ("orders", "invoices", "other")}
    assert received == {"orders": 2, "invoices": 1, "other": 0}
    assert scrape.labels("celery_worker_queue_info", "queue") == {"orders", "invoices", "celery"}


def test_a_killed_worker_s_tasks_are_redelivered_to_the_next(rabbit: Site) -> None:
    """After SIGKILL of the main process the next worker counts what it is given as received and redelivered."""
    first = rabbit.start(concurrency=1, environment={"T_ACKS_LATE": "1"}).wait_ready()
    rabbit.client.send_task("proj.endless", (1.0,))
    wait_until(lambda: first.record()["began endless"], "it began")
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    second = rabbit.start(concurrency=1, environment={"T_ACKS_LATE": "1"}, name="w2").wait_ready()
    wait_until(lambda: second.scrape().value("celery_tasks_total") == 1, "it ends")
    scrape = second.settled()
    assert scrape.ends("proj.endless") == {"success": 1}
    assert scrape.value("celery_task_received_total") == 1
    assert scrape.value("celery_task_redelivered_total") == 1


def test_books_balance_when_rabbitmq_closes_the_connection(rabbit: Site) -> None:
    """A message that was given back with the connection is constructed again, as redelivered."""
    worker = rabbit.start(concurrency=1, environment={"T_ACKS_LATE": "1", "T_PREFETCH": "10"}).wait_ready()
    rabbit.client.send_task("proj.endless", (4.0,))
    wait_until(lambda: worker.record()["began endless"], "it began")
    for _ in range(3):
        rabbit.client.send_task("proj.succeed")
    wait_until(lambda: worker.scrape().value("celery_worker_tasks_reserved") == 3, "three wait")
    _cut(worker.process.pid, int(rabbit.broker.rsplit(":", 1)[1].strip("/")))
    wait_until(lambda: worker.scrape().value("celery_worker_broker_reconnects_total") == 1, "the worker reconnects")
    scrape = worker.settled(45)
    assert scrape.balances(), scrape.books()
    assert scrape.ends("proj.succeed") == {"success": 3}
    assert scrape.value("celery_task_returned_total", task_name="proj.succeed") == 3
    assert scrape.value("celery_task_redelivered_total", task_name="proj.succeed") == 3


def _cut(pid: int, port: int) -> None:
    """Shut the worker's sockets to the broker down from outside, as a failing network would."""
    import ctypes
    import socket

    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    for link in Path(f"/proc/{pid}/fd").iterdir():
        stolen = libc.syscall(438, pidfd, int(link.name), 0)  # pidfd_getfd
        if stolen < 0:
            continue
        try:
            with socket.socket(fileno=stolen) as sock:
                if sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM and sock.getpeername()[1] == port:
                    sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
    os.close(pidfd)
