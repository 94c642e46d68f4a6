"""Ask transports on which a passive declaration would not be passive, or tells its own consumers alone.

kombu makes a queue of SQS, Pub/Sub or SQL that it is asked for, and changes a subscription of Pub/Sub to its own
settings. Of Kafka it tells what the asking channel itself consumes. So these are asked over the clients that kombu's
channel has, for what they say of themselves.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from otel_celery.queues.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Way = Callable[[Any, str, float], Figures | None]
    """Asks over a channel for a queue, with a limit of each wait in seconds; None where there is no such queue."""

SQS_ATTRIBUTES = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")

PUBSUB_METRIC = "pubsub.googleapis.com/subscription/num_undelivered_messages"
PUBSUB_WINDOW = timedelta(minutes=5)
"""How far back Cloud Monitoring is asked: it has a figure a minute, and shows it after some minutes."""


def of_sqs(channel: Any, name: str, _: float) -> Figures | None:
    """Ask SQS for what is visible, and what was received and not deleted; both are approximate."""
    own = channel.canonical_queue_name(name)
    client = channel.sqs(queue=own)
    try:
        predefined = (channel.predefined_queues or {}).get(own)
        url = predefined["url"] if predefined else client.get_queue_url(QueueName=own)["QueueUrl"]
        told = client.get_queue_attributes(QueueUrl=url, AttributeNames=list(SQS_ATTRIBUTES))["Attributes"]
    except client.exceptions.QueueDoesNotExist:
        return None
    visible, received = (int(told[attribute]) for attribute in SQS_ATTRIBUTES)
    return Figures(visible, unacked=received)


def of_sql(channel: Any, name: str, _: float) -> Figures | None:
    """Ask kombu's tables for the queue, and kombu for its length."""
    queues = channel.queue_cls
    if channel.session.query(queues).filter(queues.name == name).first() is None:
        return None
    return Figures(int(channel.queue_declare(queue=name, passive=True).message_count))


def of_kafka(channel: Any, name: str, timeout: float) -> Figures | None:
    """Add up what the partitions hold beyond the offsets that kombu's consumers have committed."""
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition  # noqa: PLC0415  kombu has imported it
    from confluent_kafka.admin import OffsetSpec  # noqa: PLC0415  the same

    topic, admin = channel.sanitize_queue_name(name), channel.client
    found = admin.list_topics(timeout=timeout).topics.get(topic)
    if found is None:
        return None
    parts = [TopicPartition(topic, number) for number in found.partitions]

    def offsets(spec: Any) -> dict[int, int]:
        futures = admin.list_offsets(dict.fromkeys(parts, spec), request_timeout=timeout)
        return {part.partition: future.result(timeout).offset for part, future in futures.items()}

    group = ConsumerGroupTopicPartitions(_group(channel, topic), parts)
    (committed,) = admin.list_consumer_group_offsets([group], request_timeout=timeout).values()
    first, last = offsets(OffsetSpec.earliest()), offsets(OffsetSpec.latest())
    read = {part.partition: part.offset for part in committed.result(timeout).topic_partitions}
    # Nothing committed is a negative offset, and what is committed may have been deleted since.
    return Figures(sum(last[number] - max(first[number], read.get(number, 0)) for number in last))


def _group(channel: Any, topic: str) -> str:
    """Name the consumers of a topic, as kombu does."""
    own: Mapping[str, str] = {**channel.common_config, **(channel.options.get("kafka_consumer_config") or {})}
    return own.get("group.id", f"{topic}-consumer-group")


def of_pubsub(channel: Any, name: str, timeout: float) -> Figures | None:
    """Ask Cloud Monitoring for what a subscription has not delivered; a new one is not known there for some minutes."""
    now = datetime.now(tz=timezone.utc)
    subscription = f'resource.labels.subscription_id = "{channel.entity_name(name)}"'
    request = {
        "name": f"projects/{channel.project_id}",
        "filter": f'metric.type = "{PUBSUB_METRIC}" AND {subscription}',
        "interval": {"start_time": now - PUBSUB_WINDOW, "end_time": now},
    }
    series = list(channel.monitor.list_time_series(request=request, timeout=timeout))
    if not series:
        return None
    return Figures(sum(int(one.points[0].value.int64_value) for one in series))  # the newest is the first


WAYS: Mapping[str, Way] = {"sqs": of_sqs, "sql": of_sql, "kafka": of_kafka, "gcpubsub": of_pubsub}
"""By kombu's name of the driver."""
