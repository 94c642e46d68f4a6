"""What an operator who was woken looks at first: beside the documented panels, on the first screen."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.firing import firing
from devops.monitoring.dashboard.promql import Vector, recorded, recorded_as
from devops.monitoring.dashboard.style import HIGHEST, ORANGE, RATIO, RED, SECONDS, TOTAL, Query, limited, lines
from otel_celery import catalogue

HEIGHT = 8
RECORDED = "Recorded by rules.yml for whole pools: worker, queue and task do not narrow it."
NOTHING = "Nothing recorded: does Prometheus load rules.yml?"
UNTOLD = "Neither a queue exporter nor a redis_exporter tells of a queue"

LENGTH = recorded_as("queue", "celery_queue_length:max")
AGE = recorded_as("queue", "celery_queue_oldest_message_age_seconds:max")
UTILISATION = recorded_as("pool", "celery_worker_utilisation:ratio")
FAILED = recorded("pool", catalogue.FAILED, "ratio_rate5m", per="_per_finished")
WAIT = recorded("pool", catalogue.QUEUE_WAIT, "p95_rate5m")
WAIT_INSIDE = recorded("pool", catalogue.PREFETCH_WAIT, "p95_rate5m")


def panels() -> list[Any]:
    """Make the six."""
    widths = (5, 4, 4, 4, 4, 3)
    made = (firing(), *_queues(), *_pools())
    return [panel.span(width).height(HEIGHT) for width, panel in zip(widths, made, strict=True)]


def _queues() -> list[Any]:
    return [
        lines(
            "Queue Length",
            "Messages that wait in the broker: the queue exporter's figures; where it tells none, redis_exporter's. "
            f"{HIGHEST}",
            Query(LENGTH.highest("max", "queue"), "{{queue}}"),
            unit=TOTAL,
            nothing=UNTOLD,
        ).links(links.runbook("CeleryQueueGrowing", "CeleryQueuesUnseen")),
        lines(
            "Oldest Message",
            f"How long ago the oldest message that waits was published, where the broker can tell. {HIGHEST}",
            Query(AGE.highest("max", "queue"), "{{queue}}"),
            unit=SECONDS,
            nothing="No queue exporter tells it, or no message waits",
        ).links(links.runbook("CeleryOldestMessageTooOld")),
    ]


def _pools() -> list[Any]:
    utilised = UTILISATION.over_time("avg").by("max", "pool")
    return [
        limited(
            lines(
                "Utilisation",
                "The share of a pool's slots that run a task, averaged over at least four scrapes. A pool that stays "
                f"full lets its queue grow. {RECORDED}",
                Query(utilised.leading(), "{{pool}}"),
                unit=RATIO,
                nothing=NOTHING,
            ).max(1),
            (0.8, ORANGE),
            (0.95, RED),
        )
        .data_links([links.panel("Slots", "pool"), links.narrowed("pool")])
        .links(links.runbook("CeleryPoolSaturated")),
        lines(
            "Failure Ratio",
            f"The share that failed of the tasks that finished: succeeded or failed. {RECORDED}",
            Query(FAILED.highest("max", "pool"), "{{pool}}"),
            unit=RATIO,
            nothing="Nothing finished in the last 5 minutes, or Prometheus does not load rules.yml",
        )
        .data_links([links.panel("Top Failing", "pool"), links.narrowed("pool")])
        .links(links.runbook("CeleryTaskFailureRatioHigh")),
        lines(
            "Wait (p95)",
            "From published, or the ETA if that is later, to started; of pools to which no publisher with otel-celery "
            f"sends, from received to started. {RECORDED}",
            Query(_waits().leading(_longest_waits()), "{{pool}}"),
            unit=SECONDS,
            nothing="Nothing started in the last 5 minutes, or Prometheus does not load rules.yml",
        )
        .data_links([links.panel("Most Waiting", "pool"), links.narrowed("pool")])
        .links(links.runbook("CeleryTasksWaitingTooLong")),
    ]


def _waits() -> Vector:
    """Take the whole wait, or where a pool's is not known the part inside its workers."""
    return Vector(f"({WAIT} or {WAIT_INSIDE})", WAIT.labels).by("max", "pool")


def _longest_waits() -> Vector:
    return Vector(f"({WAIT.peak()} or {WAIT_INSIDE.peak()})", WAIT.labels).by("max", "pool")
