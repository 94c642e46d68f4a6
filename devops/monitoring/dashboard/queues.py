"""Queues: who consumes them, what goes in and comes out, and how long tasks wait, in them and inside a worker.

How long they are, and how old their oldest messages, stands on the first screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, buckets, quantile, recorded_as, series
from devops.monitoring.dashboard.style import (
    COUNT,
    GREEN,
    HIGHEST,
    RATE,
    RED,
    SECONDS,
    TOTAL,
    Query,
    coloured,
    figures,
    heat,
    lines,
    narrow,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric

TITLE = "Queues"
TILES = 24
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
UNSENT = "Nothing that otel-celery's publishers sent has started yet"
UNSTARTED = "Nothing has started yet"
NOBODY = "No worker has been scraped"

CONSUMERS = recorded_as("queue", "celery_queue_consumers:max")
UNCONSUMED = recorded_as("queue", "celery_queue_length:unconsumed")
PUBLISHED = recorded_as("queue", "celery_task_published:rate5m")
RECEIVED = recorded_as("queue", "celery_task_received:rate5m")


def panels() -> list[Any]:
    """Make the row's panels."""
    return [panel.span(8) for panel in (*_consuming(), *_passing(), *waits(), *waits_inside())]


def _consuming() -> list[Any]:
    return [
        figures(
            "Queue Consumers",
            "How many consumers each queue has by the broker's word; where it cannot tell, how many workers. The "
            f"{TILES} with the fewest.",
            Query(CONSUMERS.by("max", "queue").bottom(TILES), "{{queue}}"),
            unit=COUNT,
            nothing=NOBODY,
        ),
        coloured(
            figures(
                "Queues Nobody Consumes",
                "How many queues nobody consumes that hold messages, or may where nothing tells how many; and which, "
                "with how many messages. By the series that CeleryQueueNotConsumed looks at.",
                Query(Vector(f"count({UNCONSUMED}) or vector(0)", frozenset()), "Queues"),
                Query(UNCONSUMED.by("max", "queue").top(), "{{queue}}"),
                unit=TOTAL,
            ),
            GREEN,
            (1, RED),
        ).links(links.runbook("CeleryQueueNotConsumed")),
        lines(
            "Unacknowledged",
            "Messages delivered and not acknowledged, where the broker can tell: prefetched, or being worked on. "
            f"{HIGHEST}",
            Query(series(catalogue.QUEUE_UNACKED).highest("max", "queue"), "{{queue}}"),
            unit=TOTAL,
            nothing="No queue exporter tells it",
        ),
    ]


def _passing() -> list[Any]:
    return [
        lines(
            "Published against Received",
            "What publishers with otel-celery put into each queue, and what workers took out, over five minutes. "
            f"{HIGHEST}",
            Query(PUBLISHED.highest("sum", "queue"), "{{queue}} published"),
            Query(RECEIVED.highest("sum", "queue"), "{{queue}} received"),
            unit=RATE,
            nothing="Neither a publisher nor a worker has been scraped",
        ).links(links.runbook("CeleryQueueGrowing")),
        returned(),
        lines(
            "Refresh Failures",
            "Questions about a queue that the broker did not answer: the queue has no figures until the next refresh.",
            Query(series(catalogue.QUEUE_REFRESH_FAILURES).per_second().total("job"), "{{job}}"),
            unit=RATE,
            nothing="No queue exporter has been scraped",
        ).links(links.runbook("CeleryQueuesUnseen")),
    ]


def returned() -> Any:
    """Draw what went back to its queue, and what came from it again."""
    panel = lines(
        "Returned and Redelivered",
        "Returned: given back un-run, on a lost connection or a shutdown. Redelivered: not for the first time. "
        f"{HIGHEST}",
        Query(series(catalogue.RETURNED).per_second().total("queue").leading(), "{{queue}} returned"),
        Query(series(catalogue.REDELIVERED).per_second().total("queue").leading(), "{{queue}} redelivered"),
        unit=RATE,
        nothing=NOBODY,
    )
    return narrow(panel)


def waits() -> list[Any]:
    """Show how long tasks wait from publishing to their start."""
    wait = catalogue.QUEUE_WAIT
    return [
        _quantiles(
            "Queue Wait",
            "From published, or the ETA if that is later, to started. The publisher needs otel-celery as well.",
            wait,
            UNSENT,
        ).links(links.runbook("CeleryTasksWaitingTooLong")),
        _by_queue("Queue Wait by Queue (p95)", wait, UNSENT),
        heat(
            "Queue Waits",
            "How many tasks waited in each range of seconds, from published to started.",
            Query(buckets(wait).growth().total("le"), "{{le}}"),
            nothing=UNSENT,
        ),
    ]


def waits_inside() -> list[Any]:
    """Show the part of it inside a worker."""
    inside = catalogue.PREFETCH_WAIT
    return [
        _quantiles(
            "Prefetch Wait",
            "From received, or the ETA if that is later, to started: how long tasks wait inside a worker for a slot.",
            inside,
            UNSTARTED,
        ).links(links.runbook("CeleryTasksWaitingTooLong", "CeleryTasksNotStarting")),
        _by_queue("Prefetch Wait by Queue (p95)", inside, UNSTARTED),
        heat(
            "Waits",
            "How many tasks waited in each range of seconds, from received to started.",
            Query(buckets(inside).growth().total("le"), "{{le}}"),
            nothing=UNSTARTED,
        ),
    ]


def _quantiles(title: str, about: str, metric: Metric, nothing: str) -> Any:
    queries = (
        Query(quantile(fraction, metric, "pool").leading(), f"{{{{pool}}}} {name}")
        for name, fraction in QUANTILES.items()
    )
    panel = lines(title, f"{about} {HIGHEST}", *queries, unit=SECONDS, nothing=nothing)
    return narrow(panel).data_links([links.narrowed("pool")])


def _by_queue(title: str, metric: Metric, nothing: str) -> Any:
    return lines(
        title,
        f"The same, by the queue that the tasks came from. {HIGHEST}",
        Query(quantile(0.95, metric, "queue").leading(), "{{queue}}"),
        unit=SECONDS,
        nothing=nothing,
    ).data_links([links.narrowed("queue")])
