"""What waits, and where: prefetched tasks, queues, and who consumes them."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, buckets, everywhere, foreign, quantile, series
from devops.monitoring.dashboard.style import COUNT, GREEN, RATE, RED, SECONDS, Query, coloured, figures, heat, lines
from otel_celery import catalogue

TITLE = "Waiting and Queues"
QUEUES = ('job="redis"', 'key!~"unacked.*|_kombu.*"')
"""What the alerts on queues look at: unacked* and _kombu* are Celery's own keys."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
SIZES = "Messages that wait in Redis, by queue: redis_exporter's figures, for the queues that it is told."


def panels() -> list[Any]:
    """Make the row's panels."""
    wait = catalogue.PREFETCH_WAIT
    return [
        lines(
            "Prefetch Wait",
            "From received, or the ETA if that is later, to started: how long tasks wait inside a worker for a slot.",
            *(Query(quantile(fraction, wait, "pool"), f"{{{{pool}}}} {name}") for name, fraction in QUANTILES.items()),
            unit=SECONDS,
            nothing="Nothing has started yet",
        )
        .data_links([links.narrowed("pool")])
        .links(links.runbook("CeleryTasksWaitingTooLong", "CeleryTasksNotStarting"))
        .span(8),
        lines(
            "Prefetch Wait by Queue (p95)",
            "The same, by the queue that the tasks came from.",
            Query(quantile(0.95, wait, "queue"), "{{queue}}"),
            unit=SECONDS,
            nothing="Nothing has started yet",
        ).span(8),
        heat(
            "Waits",
            "How many tasks waited in each range of seconds before they started.",
            Query(buckets(wait).growth().total("le"), "{{le}}"),
            nothing="Nothing has started yet",
        ).span(8),
        lines(
            "Queue Length",
            SIZES,
            Query(_lengths(), "{{queue}}"),
            unit=COUNT,
            nothing="No redis_exporter is scraped, or it is told no queue",
        )
        .links(links.runbook("CeleryQueueGrowing"))
        .span(8),
        figures(
            "Queue Consumers",
            "How many workers consume each queue.",
            Query(series(catalogue.QUEUE_INFO).by("count", "queue"), "{{queue}}"),
            unit=COUNT,
            nothing="No worker has been scraped",
        ).span(4),
        coloured(
            figures(
                "Queues Nobody Consumes",
                "Queues with messages in them that no worker consumes.",
                Query(_deserted(), "Queues"),
                unit=COUNT,
            ),
            GREEN,
            (1, RED),
        )
        .links(links.runbook("CeleryQueueNotConsumed"))
        .span(4),
        lines(
            "Returned and Redelivered",
            "Returned: given back un-run, on a lost connection or a shutdown. Redelivered: not for the first time.",
            Query(series(catalogue.RETURNED).per_second().total("queue"), "{{queue}} returned"),
            Query(series(catalogue.REDELIVERED).per_second().total("queue"), "{{queue}} redelivered"),
            unit=RATE,
            nothing="No worker has been scraped",
        ).span(8),
    ]


def _lengths() -> Vector:
    """Give redis_exporter's sizes under our own label: a queue is a key there."""
    sizes = foreign("redis_key_size", *QUEUES)
    text = f'label_replace({sizes}, "queue", "$1", "key", "(.*)")'
    return Vector(text, sizes.labels | {"queue"}).total("queue")


def _deserted() -> Vector:
    """Count queues that hold messages and have no consumer; none is 0, which a healthy system shows."""
    consumed = everywhere(catalogue.QUEUE_INFO)
    return Vector(f"count({_lengths()} > 0 unless on (queue) {consumed}) or vector(0)", frozenset())
