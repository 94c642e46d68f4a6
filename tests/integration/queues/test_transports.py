"""Transports of kombu's beside Redis and AMQP, each on a server that answers its protocol: what waits, harmlessly."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from kombu import Connection, Queue

from otel_celery.queues.figures import Asked, Figures
from otel_celery.queues.virtual import VirtualAsker
from tests.integration.worker.harness import wait_until
from tests.services import LOOPBACK, _accepts, _child, free_port, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.worker.harness import Scrape, Worker

SUBSCRIPTION = "kombu-letters"
QUIET = {"log_level": 0}
"""For librdkafka, whose threads log on stderr once its cluster is gone."""


def installed(module: str, package: str) -> None:
    """Skip, or fail in CI, where a package is missing."""
    require(importlib.util.find_spec(module.partition(".")[0]), f"{package} is not installed: the group brokers has it")


def told(scrape: Scrape, what: str = "length") -> dict[str, float]:
    """Map each queue to its figure."""
    return {one.labels["queue"]: one.value for one in scrape.samples if one.name == f"celery_queue_{what}"}


def publish(url: str, count: int, **options: Any) -> None:
    """Publish to the queue of letters."""
    with Connection(url, transport_options=options) as connection, connection.channel() as channel:
        queue = Queue("letters", routing_key="letters")(channel)
        queue.declare()
        for number in range(count):
            connection.Producer(channel).publish({"number": number}, routing_key="letters")


@pytest.fixture
def sqs(tmp_path: Path) -> Iterator[int]:
    """Run moto's server, which speaks SQS over HTTP; give its port."""
    installed("moto", "moto[server]")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", LOOPBACK, "--port", str(port)]
    with _child(command, tmp_path / "moto.out", os.environ, lambda: _accepts(port)):
        yield port


@pytest.mark.theirs
def test_sqs(export: Callable[..., Worker], sqs: int) -> None:
    """What is visible waits, what was received is unacknowledged; a queue that is missing is absent, and not made."""
    boto3 = pytest.importorskip("boto3")
    url = f"sqs://key:secret@{LOOPBACK}:{sqs}/"
    publish(url, 3, is_secure=False, region="us-east-1")
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("sqs", endpoint_url=f"http://{LOOPBACK}:{sqs}", **keys)
    (place,) = client.list_queues()["QueueUrls"]
    client.receive_message(QueueUrl=place)
    named = ("--queue", "letters,nothing", "--option", "is_secure=false", "--option", "region=us-east-1")
    exporter = export("--broker", url, *named)
    wait_until(lambda: told(exporter.scrape()) == {"letters": 2}, "the length is right", 60)
    assert told(exporter.scrape(), "unacked") == {"letters": 1}
    assert client.list_queues()["QueueUrls"] == [place]
    assert exporter.get("/-/ready")[0] == 200
    client.delete_queue(QueueUrl=place)
    client.close()
    wait_until(lambda: told(exporter.scrape()) == {}, "a deleted queue is absent", 60)
    assert "'nothing'" not in exporter.log  # which has the name of a queue that failed
    assert exporter.stop() == 0


@pytest.fixture
def kafka() -> Iterator[str]:
    """Run the cluster of one broker that librdkafka brings for tests; it listens on a port of its own."""
    installed("confluent_kafka", "confluent-kafka")
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": LOOPBACK, "test.mock.num.brokers": 1, **QUIET})
    (broker,) = producer.list_topics(timeout=30).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del producer  # with which the cluster ends


@pytest.mark.theirs
def test_kafka(export: Callable[..., Worker], kafka: str) -> None:
    """What no consumer has acknowledged waits, whoever asks; a topic that is missing is absent, and not made."""
    from confluent_kafka.admin import AdminClient

    url = f"confluentkafka://{kafka}"
    publish(url, 5, kafka_common_config=QUIET)
    exporter = export("--broker", url, "--queue", "letters,nothing")
    wait_until(lambda: told(exporter.scrape()) == {"letters": 5}, "the length is right", 60)
    acknowledged: list[Any] = []
    options = {"wait_time_seconds": 1, "kafka_common_config": QUIET}
    with Connection(url, transport_options=options) as connection, connection.channel() as channel:
        queue = Queue("letters", routing_key="letters")(channel)

        def take(body: Any, message: Any) -> None:
            if len(acknowledged) < 2:
                message.ack()
                acknowledged.append(body)

        with connection.Consumer([queue], callbacks=[take], channel=channel):
            wait_until(lambda: len(acknowledged) == 2 or _drained(connection), "two messages were acknowledged", 60)
    wait_until(lambda: told(exporter.scrape()) == {"letters": 3}, "the length follows", 60)
    assert set(AdminClient({"bootstrap.servers": kafka, **QUIET}).list_topics(timeout=30).topics) == {"letters"}
    assert "'nothing'" not in exporter.log  # which has the name of a queue that failed
    assert exporter.stop() == 0


def _drained(connection: Connection) -> bool:
    """Wait for a message for a second, and say that there may be more."""
    with contextlib.suppress(TimeoutError):
        connection.drain_events(timeout=1)
    return False


@pytest.fixture
def monitoring() -> Iterator[tuple[Any, list[Any]]]:
    """Answer the one question of Cloud Monitoring's that is asked; give Google's client of it, and what was asked.

    Google's emulator of Pub/Sub knows no length, and needs Java besides.
    """
    installed("google.cloud.monitoring_v3", "google-cloud-monitoring")
    import grpc
    from google.cloud import monitoring_v3
    from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport

    asked: list[Any] = []

    def answer(request: Any, _: Any) -> Any:
        asked.append(request)
        points = [{"value": {"int64_value": number}} for number in (7, 9)]  # the newest is the first
        series = [{"points": points}] if f'"{SUBSCRIPTION}"' in request.filter else []
        return monitoring_v3.ListTimeSeriesResponse(time_series=series)

    method = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=monitoring_v3.ListTimeSeriesRequest.deserialize,
        response_serializer=monitoring_v3.ListTimeSeriesResponse.serialize,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", {"ListTimeSeries": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        yield monitoring_v3.MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel)), asked
    server.stop(None).wait()


def test_pubsub(monitoring: tuple[Any, list[Any]]) -> None:
    """Cloud Monitoring alone is asked, by kombu's channel: no subscription is made or changed by a question."""
    client, asked = monitoring
    with Connection("gcpubsub://projects/shop") as connection:
        channel = connection.channel()
        channel.monitor = client
        found = dict(VirtualAsker(connection, channel, 30.0).ask(Asked(["letters", "nothing"]), time.monotonic() + 60))
        assert found == {"letters": Figures(7), "nothing": None}
        assert not {"publisher", "subscriber"} & set(vars(channel))  # clients that were never made
    assert {request.name for request in asked} == {"projects/shop"}
    assert all("num_undelivered_messages" in request.filter for request in asked)


@pytest.mark.filterwarnings("ignore:.*noload:DeprecationWarning")  # kombu's models, on SQLAlchemy 2.1
def test_sql(export: Callable[..., Worker], tmp_path: Path) -> None:
    """A queue that is missing from the tables is absent, and not put there."""
    import sqlite3

    url = f"sqla+sqlite:///{tmp_path}/broker.sqlite"
    publish(url, 2)
    exporter = export("--broker", url, "--queue", "letters,nothing")
    wait_until(lambda: told(exporter.scrape()) == {"letters": 2}, "the length is right", 60)
    assert "'nothing'" not in exporter.log
    database = sqlite3.connect(tmp_path / "broker.sqlite")
    assert database.execute("SELECT name FROM kombu_queue").fetchall() == [("letters",)]
    database.close()
    assert exporter.stop() == 0
