"""How full the pools are: slots, what runs in them, what waits for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import recorded_as, series
from devops.monitoring.dashboard.style import (
    COUNT,
    ORANGE,
    RATIO,
    RED,
    SECONDS,
    Query,
    bounding,
    limited,
    lines,
    ranked,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from devops.monitoring.dashboard.promql import Vector

TITLE = "Saturation"
NOBODY = "No worker has been scraped"


def panels() -> list[Any]:
    """Make the row's panels."""
    return [
        limited(
            ranked(
                lines(
                    "Utilisation",
                    "The share of a worker's slots that run a task, averaged over at least four scrapes. A pool that "
                    "stays full lets its queue grow. Recorded by rules.yml.",
                    Query(recorded_as("worker", "celery_worker_utilisation:ratio").over_time("avg"), "{{worker}}"),
                    unit=RATIO,
                    nothing="Nothing recorded: does Prometheus load rules.yml?",
                )
            ).max(1),
            (0.8, ORANGE),
            (0.95, RED),
        )
        .data_links([links.narrowed("worker")])
        .links(links.runbook("CeleryPoolSaturated"))
        .span(12)
        .height(9),
        bounding(
            _counted(
                "Slots",
                "The pool's size, dashed, which autoscale moves, and how many of its slots are taken, averaged over at "
                "least four scrapes.",
                "pool",
                size=series(catalogue.POOL_SIZE),
                taken=series(catalogue.TASKS_ACTIVE).over_time("avg"),
            ).decimals(1),
            "/ size$/",
        ),
        _counted(
            "Reserved and Scheduled Tasks",
            "Reserved: received, and waiting for a free slot. Scheduled: held for an ETA or a rate limit.",
            "worker",
            reserved=series(catalogue.TASKS_RESERVED),
            scheduled=series(catalogue.TASKS_SCHEDULED),
        ),
        ranked(
            lines(
                "Oldest Running Task",
                "The age of the longest run within at least four scrapes, by task. A line that climbs and never falls "
                "is a task that hangs.",
                Query(
                    series(catalogue.OLDEST_ACTIVE).over_time("max").by("max", "pool", "task_name"),
                    "{{pool}} {{task_name}}",
                ),
                unit=SECONDS,
                nothing="Nothing is running",
            )
        )
        .data_links([links.narrowed("task")])
        .links(links.runbook("CeleryTaskRunningTooLong"))
        .span(12)
        .height(9),
    ]


def _counted(title: str, about: str, label: str, **levels: Vector) -> Any:
    """Draw how many there are of each of these, by one label, which leads to the pool or worker that it names."""
    queries = (Query(level.total(label), f"{{{{{label}}}}} {what}") for what, level in levels.items())
    panel = ranked(lines(title, about, *queries, unit=COUNT, nothing=NOBODY))
    return panel.data_links([links.narrowed(label)]).span(12).height(9)
