"""The eight documented panels, in the documented order and under their documented names."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, everywhere, foreign, quantile, series
from devops.monitoring.dashboard.style import (
    COUNT,
    GREEN,
    ORANGE,
    RATE,
    RED,
    SECONDS,
    STATUSES,
    TOTAL,
    Query,
    coloured,
    figures,
    limited,
    lines,
    painted,
    pie,
    ranked,
    stacked,
    worded,
)
from otel_celery import catalogue

FAILING = 0.1
"""Failures a second from which on the documented alert HighTaskFailureRate fires."""


def panels() -> list[Any]:
    """Make the eight."""
    return [
        _status(),
        _active(),
        _rate(
            "Task Success Rate",
            "Tasks a second that succeeded, by worker and task.",
            series(catalogue.SUCCEEDED),
        ).data_links(
            [links.panel("Duration of Whole Pools (p50, p95, p99)", "task"), links.narrowed("worker", "task")]
        ),
        limited(
            _rate(
                "Task Failure Rate",
                "Tasks a second that raised, ran into their hard limit or lost their process, by worker and task. "
                f"HighTaskFailureRate fires above the line at {FAILING:g}.",
                series(catalogue.FAILED),
            ),
            (FAILING, RED),
        )
        .data_links([links.panel("Exceptions", "task"), links.narrowed("worker", "task")])
        .links(links.runbook("HighTaskFailureRate")),
        ranked(
            lines(
                "Task Duration (p95)",
                "Nineteen of twenty tasks took less, from start to end, whatever the end was. By pool and task.",
                Query(quantile(0.95, catalogue.DURATION, "pool", "task_name"), "{{pool}} {{task_name}}"),
                unit=SECONDS,
                nothing="Nothing has ended yet",
            )
        ).data_links([links.panel("Durations", "task"), links.narrowed("task")]),
        ranked(
            lines(
                "Tasks Received",
                "Tasks a second that workers took from the broker, by pool and task; expired and repeated ones too.",
                Query(series(catalogue.RECEIVED).per_second().total("pool", "task_name"), "{{pool}} {{task_name}}"),
                unit=RATE,
                nothing="No worker has been scraped",
            )
        ).data_links([links.narrowed("task")]),
        _rate(
            "Task Retries",
            "Tasks a second that asked to be run again, by worker and task.",
            series(catalogue.RETRIED),
        )
        .data_links([links.narrowed("worker", "task")])
        .links(links.runbook("CeleryRetryStorm")),
        painted(
            pie(
                "Total Tasks by Status",
                "How the tasks of the time shown ended, each counted once.",
                Query(series(catalogue.TASKS).growth("$__range").total("status"), "{{status}}"),
                unit=TOTAL,
                nothing="No worker has been scraped",
            ),
            STATUSES,
        ),
    ]


def _status() -> Any:
    panel = figures(
        "Worker Status",
        "Up from ready until the pool has drained. A worker that died cannot say so: "
        "it is down while its target does not answer.",
        Query(_states(), "{{worker}}"),
        unit="none",
        nothing="No worker has been scraped",
    )
    words = {0: ("Down", RED), 1: ("Up", GREEN), 2: ("Draining", ORANGE)}
    panel = worded(coloured(panel, RED, (1, GREEN), (2, ORANGE)), words)
    return panel.data_links([links.narrowed("worker")]).links(links.runbook("CeleryWorkerDown"))


def _states() -> Vector:
    """Tell up from draining, and remember for six hours who is gone, as CeleryWorkerDown does."""
    up, draining = series(catalogue.WORKER_UP), series(catalogue.DRAINING)
    silent = f"on (job, instance) {foreign('up')} == 0"
    pools = foreign("up", 'pool=~"$pool"', 'pool!=""')
    unseen = f"{pools} == 0 unless on (job, instance) last_over_time({everywhere(catalogue.WORKER_UP)}[6h])"
    text = (
        f"{up} * (1 + {draining}) or 0 * last_over_time({up}[6h]) and {silent} "
        f'or label_replace({unseen}, "worker", "$1 (never seen)", "pool", "(.*)")'
    )
    return Vector(text, up.labels).by("max", "pool", "worker")


def _active() -> Any:
    panel = lines(
        "Active Tasks",
        "Tasks that are being executed now, read from each worker's own state, piled up: the height is all of them.",
        Query(series(catalogue.TASKS_ACTIVE).total("pool", "worker"), "{{worker}}"),
        unit=COUNT,
        nothing="No worker has been scraped",
    )
    return stacked(ranked(panel)).data_links([links.panel("Utilisation", "worker"), links.narrowed("worker")])


def _rate(title: str, about: str, counted: Vector) -> Any:
    """Draw a counter's rate by worker and task."""
    query = Query(counted.per_second().total("worker", "task_name"), "{{worker}} {{task_name}}")
    return ranked(lines(title, about, query, unit=RATE, nothing="No worker has been scraped"))
