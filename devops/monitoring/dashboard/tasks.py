"""Task by task: how often, how long, how it went wrong."""

from __future__ import annotations

from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from devops.monitoring.dashboard import links, tables
from devops.monitoring.dashboard.promql import MOST, Vector, buckets, quantile_shown, recorded, series
from devops.monitoring.dashboard.style import (
    HIGHEST,
    ORANGE,
    RATE,
    SECONDS,
    STATUSES,
    TOTAL,
    Query,
    bars,
    heat,
    limited,
    lines,
    painted,
    ranked,
    stacked,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric

TITLE = "Tasks"
QUIET = "Nothing ended in the last 5 minutes, or Prometheus does not load rules.yml"
NOBODY = "No worker has been scraped"
WHOLE = "Recorded by rules.yml over 5 minutes for whole pools: worker and queue do not narrow it."

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
        *(panel.span(8) for panel in (_failing(), _slowest(), _waiting())),
        tables.tasks().span(24).height(9),
        *(panel.span(8) for panel in (flow(), ends(), durations())),
        _quantiles("Duration of Whole Pools (p50, p95, p99)", catalogue.DURATION, "From start to end. "),
        _quantiles("Runtime of Whole Pools (p50, p95, p99)", catalogue.RUNTIME, "The task's body; successes only. "),
        ranked(slower_than_usual()).span(12),
        exceptions().span(12),
        *(panel.span(8) for panel in (timeouts(), revocations(), _last_success())),
    ]


def _failing() -> Any:
    failed = series(catalogue.FAILED).growth("$__range").total("pool", "task_name")
    return (
        bars(
            "Top Failing",
            f"How often the {MOST} tasks with the most failures failed within the time shown.",
            Query(Vector(f"{failed} > 0", failed.labels).top(), "{{pool}} {{task_name}}"),
            unit=TOTAL,
            nothing="No task has failed in the time shown",
        )
        .decimals(0)
        .data_links([links.page("task"), links.panel("Exceptions", "task")])
        .links(links.runbook("CeleryTaskFailureRatioHigh"))
    )


def _slowest() -> Any:
    return (
        bars(
            "Slowest",
            f"The {MOST} tasks whose 95th percentile of the duration was highest within the time shown.",
            Query(quantile_shown(0.95, catalogue.DURATION, "pool", "task_name").top(), "{{pool}} {{task_name}}"),
            unit=SECONDS,
            nothing="Nothing has ended in the time shown",
        )
        .data_links([links.page("task"), links.panel("Durations", "task")])
        .links(links.runbook("CeleryTaskRunningTooLong"))
    )


def _waiting() -> Any:
    whole, inside = (
        quantile_shown(0.95, metric, "pool", "task_name") for metric in (catalogue.QUEUE_WAIT, catalogue.PREFETCH_WAIT)
    )
    return (
        bars(
            "Most Waiting",
            f"The {MOST} tasks whose 95th percentile of the wait was highest within the time shown: from published to "
            "started, or from received where the publishers have no otel-celery.",
            Query(Vector(f"({whole}) or ({inside})", whole.labels).top(), "{{pool}} {{task_name}}"),
            unit=SECONDS,
            nothing="Nothing has started in the time shown",
        )
        .data_links([links.page("task"), links.panel("Queue Wait", "task")])
        .links(links.runbook("CeleryTasksWaitingTooLong"))
    )


def flow() -> Any:
    """Draw what comes in and what goes out, in all."""
    return lines(
        "Flow",
        "What is received, and neither ends nor returns, is reserved, scheduled or active.",
        *(Query(series(metric).per_second().total(), legend) for legend, metric in FLOW.items()),
        unit=RATE,
    )


def ends() -> Any:
    """Pile up how tasks end."""
    return painted(
        stacked(
            lines(
                "Ends by Status",
                "How tasks end, piled up: the height is all ends a second.",
                Query(series(catalogue.TASKS).per_second().total("status"), "{{status}}"),
                unit=RATE,
                nothing=NOBODY,
            )
        ),
        STATUSES,
    )


def durations() -> Any:
    """Show how many tasks took how long."""
    return heat(
        "Durations",
        "How many tasks ended in each range of durations.",
        Query(buckets(catalogue.DURATION).growth().total("le"), "{{le}}"),
        nothing="Nothing has ended yet",
    )


def _quantiles(title: str, metric: Metric, about: str) -> Any:
    queries = (
        Query(
            recorded("pool_task", metric, f"{name}_rate5m").highest("max", "pool", "task_name"),
            f"{{{{pool}}}} {{{{task_name}}}} {name}",
        )
        for name in ("p50", "p95", "p99")
    )
    panel = ranked(lines(title, f"{about}{HIGHEST} {WHOLE}", *queries, unit=SECONDS, nothing=QUIET))
    return panel.data_links([links.page("task"), links.narrowed("task")]).span(12)


def slower_than_usual() -> Any:
    """Compare what tasks take now with what they took all day."""
    now = recorded("pool_task", catalogue.RUNTIME, "p99_rate5m")
    usual = recorded("pool_task", catalogue.RUNTIME, "p99_rate1d")
    compared = Vector(f"{now} / {usual}", now.labels).by("max", "pool", "task_name")
    most = Vector(f"{now.peak()} / {usual}", now.labels).by("max", "pool", "task_name")
    return limited(
        lines(
            "Slower than Usual",
            f"The 99th percentile of now, as a multiple of the whole day's. {HIGHEST} {WHOLE}",
            Query(compared.leading(most), "{{pool}} {{task_name}}"),
            unit="suffix:times",
            nothing=QUIET,
        ),
        (2, ORANGE),
    ).data_links([links.page("task"), links.narrowed("task")])


def exceptions() -> Any:
    """Draw failures by what was raised."""
    return ranked(
        _by(
            "Exceptions",
            "Failures by the class of what was raised. TimeLimitExceeded is the hard limit, WorkerLostError a process "
            f"that died. {HIGHEST}",
            _of_tasks(catalogue.FAILURES_BY_EXCEPTION, "exception"),
            nothing="No task has failed",
        )
    ).links(links.runbook("CeleryTaskFailureRatioHigh"))


def timeouts() -> Any:
    """Draw the time limits that were reached."""
    return _by(
        "Timeouts",
        "Time limits reached: soft ones raise in the task, hard ones kill its process.",
        *_in_all(catalogue.TIMEOUTS, "limit"),
    ).links(links.runbook("CeleryHardTimeLimits"))


def revocations() -> Any:
    """Draw what was revoked or rejected."""
    return _by(
        "Revocations and Rejections",
        "Revoked before they started, expired, or terminated while they ran; and tasks that raised Reject or that "
        "Celery refused to run.",
        *_in_all(catalogue.REVOKED, "reason"),
        Query(series(catalogue.REJECTED).per_second().total(), "all rejected"),
    )


def _last_success() -> Any:
    succeeded = recorded("pool_task", catalogue.LAST_SUCCESS, "max")
    since, at_last = (tables.ago(one.by("max", "task_name")) for one in (succeeded, succeeded.last()))
    return (
        lines(
            "Time since the Last Success",
            "Whether the nightly job ran: a line that climbs past its schedule is a task that no longer succeeds. "
            f"Recorded by rules.yml, which remembers it over deploys and the end of workers. {HIGHEST}",
            Query(since.leading(at_last), "{{task_name}}"),
            unit=SECONDS,
            nothing="No task has succeeded yet, or Prometheus does not load rules.yml",
        )
        .data_links([links.page("task"), links.narrowed("task")])
        .links(links.runbook("CeleryTaskNotSucceeded"))
    )


def _in_all(metric: Metric, label: str) -> tuple[Query, Query]:
    """Count all tasks together, zeros included, and besides them the tasks that have something to count."""
    return Query(series(metric).per_second().total(label), f"all {{{{{label}}}}}"), _of_tasks(metric, label)


def _of_tasks(metric: Metric, label: str) -> Query:
    counted = series(metric).per_second().total("task_name", label)
    some = Vector(f"{counted.throughout()} > 0", counted.labels)
    return Query(counted.leading(some), f"{{{{task_name}}}} {{{{{label}}}}}")


def _by(title: str, about: str, *queries: Query, nothing: str = NOBODY) -> Any:
    """Draw queries of which those that name a task lead to it."""
    panel = lines(title, about, *queries, unit=RATE, nothing=nothing)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        if "{{task_name}}" in query.legend:
            to = [links.page("task").build(), links.narrowed("task").build()]
            panel.override_by_query(letter, [DynamicConfigValue("links", to)])
    return panel
