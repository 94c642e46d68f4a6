"""Queues: what waits in them and for how long, who consumes them, and what goes in and comes out."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, recorded_as, series
from devops.monitoring.dashboard.style import COUNT, GREEN, RATE, RED, SECONDS, Query, coloured, figures, lines
from otel_celery import catalogue

TITLE = "Queues"
UNTOLD = "Neither a queue exporter nor a redis_exporter tells of a queue"

LENGTH = recorded_as("queue", "celery_queue_length:max")
CONSUMERS = recorded_as("queue", "celery_queue_consumers:max")
AGE = recorded_as("queue", "celery_queue_oldest_message_age_seconds:max")
PUBLISHED = recorded_as("queue", "celery_task_published:rate5m")
RECEIVED = recorded_as("queue", "celery_task_received:rate5m")


def panels() -> list[Any]:
    """Make the row's panels."""
    return [*_waiting(), *_consuming(), *_passing()]


def _waiting() -> list[Any]:
    return [
        lines(
            "Queue Length",
            "Messages that wait in the broker: the queue exporter's figures; where it tells none, redis_exporter's.",
            Query(LENGTH.by("max", "queue"), "{{queue}}"),
            unit=COUNT,
            nothing=UNTOLD,
        )
        .links(links.runbook("CeleryQueueGrowing", "CeleryQueuesUnseen"))
        .span(8),
        lines(
            "Oldest Message",
            "How long ago the oldest message that waits was published, where the broker can tell.",
            Query(AGE.by("max", "queue"), "{{queue}}"),
            unit=SECONDS,
            nothing="No queue exporter tells it, or no message waits",
        )
        .links(links.runbook("CeleryOldestMessageTooOld"))
        .span(8),
        lines(
            "Unacknowledged",
            "Messages delivered and not acknowledged, where the broker can tell: prefetched, or being worked on.",
            Query(series(catalogue.QUEUE_UNACKED).by("max", "queue"), "{{queue}}"),
            unit=COUNT,
            nothing="No queue exporter tells it",
        ).span(8),
    ]


def _consuming() -> list[Any]:
    return [
        figures(
            "Queue Consumers",
            "How many consumers each queue has by the broker's word; where it cannot tell, how many workers.",
            Query(CONSUMERS.by("max", "queue"), "{{queue}}"),
            unit=COUNT,
            nothing="No worker has been scraped",
        ).span(8),
        coloured(
            figures(
                "Queues Nobody Consumes",
                "Queues with messages in them that nobody consumes.",
                Query(_deserted(), "Queues"),
                unit=COUNT,
            ),
            GREEN,
            (1, RED),
        )
        .links(links.runbook("CeleryQueueNotConsumed"))
        .span(8),
        lines(
            "Refresh Failures",
            "Questions about a queue that the broker did not answer: the queue has no figures until the next refresh.",
            Query(series(catalogue.QUEUE_REFRESH_FAILURES).per_second().total("job"), "{{job}}"),
            unit=RATE,
            nothing="No queue exporter has been scraped",
        )
        .links(links.runbook("CeleryQueuesUnseen"))
        .span(8),
    ]


def _passing() -> list[Any]:
    return [
        lines(
            "Published against Received",
            "What publishers with otel-celery put into each queue, and what workers took out, over five minutes.",
            Query(PUBLISHED.total("queue"), "{{queue}} published"),
            Query(RECEIVED.total("queue"), "{{queue}} received"),
            unit=RATE,
            nothing="Neither a publisher nor a worker has been scraped",
        )
        .links(links.runbook("CeleryQueueGrowing"))
        .span(12),
        lines(
            "Returned and Redelivered",
            "Returned: given back un-run, on a lost connection or a shutdown. Redelivered: not for the first time.",
            Query(series(catalogue.RETURNED).per_second().total("queue"), "{{queue}} returned"),
            Query(series(catalogue.REDELIVERED).per_second().total("queue"), "{{queue}} redelivered"),
            unit=RATE,
            nothing="No worker has been scraped",
        ).span(12),
    ]


def _deserted() -> Vector:
    """Count queues that hold messages and have no consumer; none is 0, which a healthy system shows."""
    return Vector(f"count({LENGTH} > 0 unless on (queue) {CONSUMERS} > 0) or vector(0)", frozenset())
