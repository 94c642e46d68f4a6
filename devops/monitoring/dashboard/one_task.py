"""The dashboard of one task: how it fares now, how it ends, how long it takes and waits, who runs and who sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devops.monitoring.dashboard import links, queues, tables, tasks, workers
from devops.monitoring.dashboard.firing import whom_it_concerns
from devops.monitoring.dashboard.promql import MOST, Vector, buckets, mean, quantile, quantile_shown, recorded, series
from devops.monitoring.dashboard.style import (
    GREEN,
    HIGHEST,
    ORANGE,
    RATE,
    RATIO,
    RED,
    SECONDS,
    STATUSES,
    TOTAL,
    Query,
    bars,
    coloured,
    figure,
    heat,
    lines,
    painted,
    pie,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
NOBODY = "No worker knows this task"
QUIET = "It has not ended in the time shown"
UNSTARTED = "It has not started in the time shown"
PACED = {
    "received": catalogue.RECEIVED,
    "succeeded": catalogue.SUCCEEDED,
    "failed": catalogue.FAILED,
    "retried": catalogue.RETRIED,
    "rejected": catalogue.REJECTED,
}


def _now() -> list[Any]:
    succeeded = _shown(catalogue.SUCCEEDED)
    failed = _shown(catalogue.FAILED)
    ratio = Vector(f"{succeeded} / ({succeeded} + {failed} > 0)", frozenset())
    last = recorded("pool_task", catalogue.LAST_SUCCESS, "max").by("max")
    return [
        panel.span(3).height(4)
        for panel in (
            coloured(
                figure(
                    "Succeeded", "The share that succeeded of what finished within the time shown.", ratio, RATIO, QUIET
                ),
                RED,
                (0.9, ORANGE),
                (0.99, GREEN),
            ),
            figure(
                "Received",
                "How many workers received within the time shown.",
                _shown(catalogue.RECEIVED),
                TOTAL,
                NOBODY,
            ),
            coloured(
                figure("Failed", "How many failed within the time shown.", failed, TOTAL, NOBODY), GREEN, (1, ORANGE)
            ),
            coloured(
                figure("Retried", "How many asked to be run again.", _shown(catalogue.RETRIED), TOTAL, NOBODY),
                GREEN,
                (1, ORANGE),
            ),
            figure(
                "Duration (p95)",
                "Nineteen of twenty took less, from start to end, within the time shown.",
                quantile_shown(0.95, catalogue.DURATION),
                SECONDS,
                QUIET,
            ),
            figure(
                "Wait (p95)",
                "Nineteen of twenty waited less, from published to started; from received where the publishers have no "
                "otel-celery.",
                _wait(),
                SECONDS,
                UNSTARTED,
            ),
            figure(
                "Oldest Run",
                "For how long the longest run has gone on that has not ended.",
                series(catalogue.OLDEST_ACTIVE).by("max"),
                SECONDS,
                "None runs",
            ).links(links.runbook("CeleryTaskRunningTooLong")),
            figure(
                "Last Success",
                "How long ago it last succeeded: recorded by rules.yml, which remembers it over deploys.",
                tables.ago(last),
                SECONDS,
                "It has not succeeded yet",
            ).links(links.runbook("CeleryTaskNotSucceeded")),
        )
    ]


def _wait() -> Vector:
    whole, inside = (quantile_shown(0.95, metric) for metric in (catalogue.QUEUE_WAIT, catalogue.PREFETCH_WAIT))
    return Vector(f"({whole}) or ({inside})", whole.labels)


def _ends() -> list[Any]:
    return [
        *(panel.span(8) for panel in (tasks.ends(), _total(), _ratio())),
        whom_it_concerns('task_name=~"$task"', worker="Worker", queue="Queue").span(12).height(6),
        _by_worker().span(12).height(6),
        *(panel.span(8) for panel in (_paces(), _by_queue(), tasks.flow())),
    ]


def _total() -> Any:
    total = series(catalogue.TASKS).growth("$__range").total("status")
    about = "How it ended within the time shown, each run counted once."
    return painted(pie("Total by Status", about, Query(total, "{{status}}"), unit=TOTAL, nothing=NOBODY), STATUSES)


def _ratio() -> Any:
    failed, succeeded = (
        series(metric).per_second().total("pool") for metric in (catalogue.FAILED, catalogue.SUCCEEDED)
    )
    ratio = Vector(f"{failed} / ({failed} + {succeeded} > 0)", failed.labels)
    panel = lines(
        "Failure Ratio",
        f"The share that failed of what finished, by pool. {HIGHEST}",
        Query(ratio.leading(), "{{pool}}"),
        unit=RATIO,
        nothing=QUIET,
    )
    return panel.links(links.runbook("CeleryTaskFailureRatioHigh"))


def _by_worker() -> Any:
    columns = [
        *(tables.Column(head.capitalize(), TOTAL, _shown(metric, "worker")) for head, metric in PACED.items()),
        tables.Column("p95", SECONDS, quantile_shown(0.95, catalogue.DURATION, "worker")),
    ]
    return tables.table(
        "By Worker",
        "What each worker made of it within the time shown: a worker that fails alone is the one to look at.",
        columns,
        heads={"worker": "Worker"},
        pages={"Worker": "worker"},
        sorted_by="Failed",
        nothing=NOBODY,
    )


def _paces() -> Any:
    queries = (Query(series(metric).per_second().total(), what) for what, metric in PACED.items())
    return lines("Events", "How often each thing happens to it.", *queries, unit=RATE, nothing=NOBODY)


def _by_queue() -> Any:
    received = series(catalogue.RECEIVED).per_second().total("queue").leading()
    return lines(
        "Received by Queue",
        f"Where it comes from. {HIGHEST}",
        Query(received, "{{queue}}"),
        unit=RATE,
        nothing=NOBODY,
    )


def _times() -> list[Any]:
    return [
        panel.span(8)
        for panel in (
            _quantiles("Duration", "From start to end, whatever the end was.", catalogue.DURATION, QUIET),
            _quantiles("Runtime", "The task's body, as Celery measures it; successes only.", catalogue.RUNTIME, QUIET),
            tasks.durations(),
            _mean(),
            tasks.slower_than_usual(),
            workers.oldest("worker"),
        )
    ]


def _mean() -> Any:
    about = "The mean time that the task's body took, by pool; successes only."
    query = Query(mean(catalogue.RUNTIME, "pool").leading(), "{{pool}}")
    return lines("Mean Runtime", about, query, unit=SECONDS, nothing=QUIET)


def _quantiles(title: str, about: str, metric: Metric, nothing: str) -> Any:
    queries = (Query(quantile(fraction, metric), name) for name, fraction in QUANTILES.items())
    return lines(f"{title} (p50, p95, p99)", about, *queries, unit=SECONDS, nothing=nothing)


def _waits() -> list[Any]:
    wait, inside = catalogue.QUEUE_WAIT, catalogue.PREFETCH_WAIT
    return [
        panel.span(8)
        for panel in (
            _quantiles(
                "Queue Wait",
                "From published, or the ETA if that is later, to started. The publisher needs otel-celery as well.",
                wait,
                queues.UNSENT,
            ).links(links.runbook("CeleryTasksWaitingTooLong")),
            _quantiles(
                "Prefetch Wait", "The part of it inside a worker, from received to started.", inside, UNSTARTED
            ).links(links.runbook("CeleryTasksNotStarting")),
            heat(
                "Queue Waits",
                "How many waited in each range of seconds, from published to started.",
                Query(buckets(wait).growth().total("le"), "{{le}}"),
                nothing=queues.UNSENT,
            ),
        )
    ]


def _failures() -> list[Any]:
    raised = series(catalogue.FAILURES_BY_EXCEPTION)
    shown = raised.growth("$__range").total("exception")
    return [
        panel.span(8)
        for panel in (
            bars(
                "Exceptions in All",
                f"What was raised within the time shown, and how often. The {MOST} most frequent.",
                Query(Vector(f"{shown} > 0", shown.labels).top(), "{{exception}}"),
                unit=TOTAL,
                nothing="It has not failed in the time shown",
            ).decimals(0),
            lines(
                "Exceptions",
                "Failures by the class of what was raised. TimeLimitExceeded is the hard limit, WorkerLostError a "
                f"process that died. {HIGHEST}",
                Query(raised.per_second().total("exception").leading(), "{{exception}}"),
                unit=RATE,
                nothing="It has not failed",
            ).links(links.runbook("CeleryTaskFailureRatioHigh")),
            lines(
                "Timeouts",
                "Time limits reached: soft ones raise in the task, hard ones kill its process.",
                Query(series(catalogue.TIMEOUTS).per_second().total("limit"), "{{limit}}"),
                unit=RATE,
                nothing=NOBODY,
            ).links(links.runbook("CeleryHardTimeLimits")),
            lines(
                "Revocations",
                "Revoked before it started, expired, or terminated while it ran.",
                Query(series(catalogue.REVOKED).per_second().total("reason"), "{{reason}}"),
                unit=RATE,
                nothing=NOBODY,
            ),
            lines(
                "Retries",
                f"How often it asked to be run again, by worker. {HIGHEST}",
                Query(series(catalogue.RETRIED).per_second().total("worker").leading(), "{{worker}}"),
                unit=RATE,
                nothing=NOBODY,
            )
            .data_links([links.page("worker")])
            .links(links.runbook("CeleryRetryStorm")),
            queues.returned(),
        )
    ]


def _sent() -> list[Any]:
    return [
        panel.span(6)
        for panel in (
            lines(
                "Published",
                f"How often publishers with otel-celery sent it, by their job and the queue. {HIGHEST}",
                Query(series(catalogue.PUBLISHED).per_second().total("job", "queue").leading(), "{{job}} {{queue}}"),
                unit=RATE,
                nothing="No publisher with otel-celery has sent it",
            ),
            lines(
                "Publish Failures",
                f"How often it could not be published, by the exception's class. {HIGHEST}",
                Query(series(catalogue.PUBLISH_FAILURES).per_second().total("exception").leading(), "{{exception}}"),
                unit=RATE,
                nothing="None has failed, or no publisher is scraped",
            ).links(links.runbook("CeleryPublishFailures")),
            lines(
                "Sent by Beat",
                "How often beat sent it because it was due.",
                Query(series(catalogue.BEAT_SENT).per_second().total(), "sent"),
                unit=RATE,
                nothing="No beat that is scraped has an entry of it",
            ),
            lines(
                "Lag of Beat (p99)",
                "From when it was due to when beat had sent it.",
                Query(quantile(0.99, catalogue.BEAT_LAG), "p99"),
                unit=SECONDS,
                nothing="No beat that is scraped has sent it yet",
            ).links(links.runbook("CeleryBeatEntryLate")),
        )
    ]


def _shown(metric: Metric, *labels: str) -> Vector:
    return series(metric).growth("$__range").total(*labels)


ROWS = (
    (None, _now),
    ("How It Ends", _ends),
    ("How Long It Takes", _times),
    ("How Long It Waits", _waits),
    ("How It Goes Wrong", _failures),
    ("Who Sends It", _sent),
)
"""The rows, and what makes their panels."""
