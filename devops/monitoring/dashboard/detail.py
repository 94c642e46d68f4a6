"""Task by task: how often, how long, how it went wrong."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, buckets, recorded, series
from devops.monitoring.dashboard.style import (
    ORANGE,
    RATE,
    SECONDS,
    STATUSES,
    Query,
    heat,
    limited,
    lines,
    painted,
    ranked,
    stacked,
)
from devops.monitoring.dashboard.tables import ago, tasks
from otel_celery import catalogue

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric

TITLE = "Tasks"
QUIET = "Nothing ended in the last 5 minutes, or Prometheus does not load rules.yml"
WHOLE = "Recorded by rules.yml over 5 minutes for whole pools: the worker variable does not narrow it."

FLOW = {
    "received": catalogue.RECEIVED,
    "started": catalogue.STARTED,
    "ended": catalogue.TASKS,
    "returned un-run": catalogue.RETURNED,
    "redelivered": catalogue.REDELIVERED,
}


def panels() -> list[Any]:
    """Make the row's panels."""
    return [
        tasks().span(24).height(9),
        lines(
            "Flow",
            "What is received, and neither ends nor returns, is reserved, scheduled or active.",
            *(Query(series(metric).per_second().total(), legend) for legend, metric in FLOW.items()),
            unit=RATE,
        ).span(8),
        painted(
            stacked(
                lines(
                    "Ends by Status",
                    "How tasks end, piled up: the height is all ends a second.",
                    Query(series(catalogue.TASKS).per_second().total("status"), "{{status}}"),
                    unit=RATE,
                )
            ),
            STATUSES,
        ).span(8),
        heat(
            "Durations",
            "How many tasks ended in each range of durations.",
            Query(buckets(catalogue.DURATION).growth().total("le"), "{{le}}"),
            nothing="Nothing has ended yet",
        ).span(8),
        _quantiles("Duration of Whole Pools (p50, p95, p99)", catalogue.DURATION, "From start to end. "),
        _quantiles("Runtime of Whole Pools (p50, p95, p99)", catalogue.RUNTIME, "The task's body; successes only. "),
        limited(
            ranked(
                lines(
                    "Slower than Usual",
                    f"The 99th percentile of now, as a multiple of the whole day's. {WHOLE}",
                    Query(_against_usual(), "{{pool}} {{task_name}}"),
                    unit="suffix:times",
                    nothing=QUIET,
                )
            ),
            (2, ORANGE),
        )
        .data_links([links.narrowed("task")])
        .span(12),
        *_misfortunes(),
    ]


def _quantiles(title: str, metric: Metric, about: str) -> Any:
    queries = (
        Query(recorded("pool_task", metric, f"{name}_rate5m"), f"{{{{pool}}}} {{{{task_name}}}} {name}")
        for name in ("p50", "p95", "p99")
    )
    panel = ranked(lines(title, f"{about}{WHOLE}", *queries, unit=SECONDS, nothing=QUIET))
    return panel.data_links([links.narrowed("task")]).span(12)


def _against_usual() -> Vector:
    now = recorded("pool_task", catalogue.DURATION, "p99_rate5m")
    usual = recorded("pool_task", catalogue.DURATION, "p99_rate1d")
    return Vector(f"{now} / {usual}", now.labels)


def _misfortunes() -> list[Any]:
    return [
        ranked(
            _by(
                "Exceptions",
                "Failures by the class of what was raised. TimeLimitExceeded is the hard limit, WorkerLostError a "
                "process that died.",
                _of_tasks(catalogue.FAILURES_BY_EXCEPTION, "exception"),
                nothing="No task has failed",
            )
        )
        .links(links.runbook("CeleryTaskFailureRatioHigh"))
        .span(12),
        _by(
            "Timeouts",
            "Time limits reached: soft ones raise in the task, hard ones kill its process.",
            *_in_all(catalogue.TIMEOUTS, "limit"),
        ).links(links.runbook("CeleryHardTimeLimits")),
        _by(
            "Revocations and Rejections",
            "Revoked before they started, expired, or terminated while they ran; and tasks that raised Reject or that "
            "Celery refused to run.",
            *_in_all(catalogue.REVOKED, "reason"),
            Query(series(catalogue.REJECTED).per_second().total(), "all rejected"),
        ),
        lines(
            "Time since the Last Success",
            "Whether the nightly job ran: a line that climbs past its schedule is a task that no longer succeeds.",
            Query(
                ago(series(catalogue.LAST_SUCCESS).by("max", "task_name")),
                "{{task_name}}",
            ),
            unit=SECONDS,
            nothing="No task has succeeded yet",
        )
        .data_links([links.narrowed("task")])
        .links(links.runbook("CeleryTaskNotSucceeded"))
        .span(8),
    ]


def _in_all(metric: Metric, label: str) -> tuple[Query, Query]:
    """Count all tasks together, zeros included, and besides them the tasks that have something to count."""
    tasks_alone = _of_tasks(metric, label)
    some = Vector(f"{tasks_alone.expression} > 0", frozenset())
    return Query(series(metric).per_second().total(label), f"all {{{{{label}}}}}"), Query(some, tasks_alone.legend)


def _of_tasks(metric: Metric, label: str) -> Query:
    return Query(series(metric).per_second().total("task_name", label), f"{{{{task_name}}}} {{{{{label}}}}}")


def _by(title: str, about: str, *queries: Query, nothing: str = "No worker has been scraped") -> Any:
    """Draw queries of which those that name a task lead to it."""
    panel = lines(title, about, *queries, unit=RATE, nothing=nothing).span(8)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        if "{{task_name}}" in query.legend:
            panel.override_by_query(letter, [DynamicConfigValue("links", [links.narrowed("task").build()])])
    return panel
