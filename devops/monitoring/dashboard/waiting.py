"""How long tasks wait: from publishing to their start, and the part of it inside a worker."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import buckets, quantile
from devops.monitoring.dashboard.style import SECONDS, Query, heat, lines
from otel_celery import catalogue

TITLE = "Waiting"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
UNSENT = "Nothing that otel-celery's publishers sent has started yet"


def panels() -> list[Any]:
    """Make the row's panels."""
    wait, inside = catalogue.QUEUE_WAIT, catalogue.PREFETCH_WAIT
    return [
        lines(
            "Queue Wait",
            "From published, or the ETA if that is later, to started. The publisher needs otel-celery as well.",
            *(Query(quantile(fraction, wait, "pool"), f"{{{{pool}}}} {name}") for name, fraction in QUANTILES.items()),
            unit=SECONDS,
            nothing=UNSENT,
        )
        .data_links([links.narrowed("pool")])
        .links(links.runbook("CeleryTasksWaitingTooLong"))
        .span(8),
        lines(
            "Queue Wait by Queue (p95)",
            "The same, by the queue that the tasks came from.",
            Query(quantile(0.95, wait, "queue"), "{{queue}}"),
            unit=SECONDS,
            nothing=UNSENT,
        ).span(8),
        heat(
            "Queue Waits",
            "How many tasks waited in each range of seconds, from published to started.",
            Query(buckets(wait).growth().total("le"), "{{le}}"),
            nothing=UNSENT,
        ).span(8),
        lines(
            "Prefetch Wait",
            "From received, or the ETA if that is later, to started: how long tasks wait inside a worker for a slot.",
            *(
                Query(quantile(fraction, inside, "pool"), f"{{{{pool}}}} {name}")
                for name, fraction in QUANTILES.items()
            ),
            unit=SECONDS,
            nothing="Nothing has started yet",
        )
        .data_links([links.narrowed("pool")])
        .links(links.runbook("CeleryTasksWaitingTooLong", "CeleryTasksNotStarting"))
        .span(8),
        lines(
            "Prefetch Wait by Queue (p95)",
            "The same, by the queue that the tasks came from.",
            Query(quantile(0.95, inside, "queue"), "{{queue}}"),
            unit=SECONDS,
            nothing="Nothing has started yet",
        ).span(8),
        heat(
            "Waits",
            "How many tasks waited in each range of seconds, from received to started.",
            Query(buckets(inside).growth().total("le"), "{{le}}"),
            nothing="Nothing has started yet",
        ).span(8),
    ]
