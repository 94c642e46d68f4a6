"""The dashboard of one worker: what it is, what it runs and made of it, what it waits for, how its process does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devops.monitoring.dashboard import links, overview, processes, queues, tables, tasks, workers
from devops.monitoring.dashboard.firing import whom_it_concerns
from devops.monitoring.dashboard.now import AGE, LENGTH
from devops.monitoring.dashboard.promql import (
    Vector,
    buckets,
    foreign,
    of_workers,
    quantile,
    quantile_shown,
    recorded,
    series,
)
from devops.monitoring.dashboard.style import (
    COUNT,
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
    coloured,
    figure,
    heat,
    lines,
    painted,
    pie,
    stacked,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
SILENT = "It does not answer"
COUNTED = {
    "Received": catalogue.RECEIVED,
    "Succeeded": catalogue.SUCCEEDED,
    "Failed": catalogue.FAILED,
    "Retried": catalogue.RETRIED,
    "Rejected": catalogue.REJECTED,
    "Revoked": catalogue.REVOKED,
}


def _now() -> list[Any]:
    active, size = series(catalogue.TASKS_ACTIVE).by("max"), series(catalogue.POOL_SIZE).by("max")
    return [
        panel.span(3).height(4)
        for panel in (
            overview.of_one_worker(),
            figure("Uptime", "How long ago it was started.", tables.ago(_started().by("max")), SECONDS, SILENT),
            figure("Active Tasks", "Tasks that it executes now.", active, COUNT, SILENT),
            figure("Slots", "How many its pool has now, which autoscale moves.", size, COUNT, SILENT),
            figure(
                "Reserved",
                "Tasks that it has received, and that wait for a free slot.",
                series(catalogue.TASKS_RESERVED).by("max"),
                COUNT,
                SILENT,
            ),
            figure(
                "Scheduled",
                "Tasks that it holds for an ETA or a rate limit.",
                series(catalogue.TASKS_SCHEDULED).by("max"),
                COUNT,
                SILENT,
            ),
            figure(
                "Processed",
                "How many of its tasks ended within the time shown.",
                series(catalogue.TASKS).growth("$__range").total(),
                TOTAL,
                SILENT,
            ),
            coloured(
                figure(
                    "Failed",
                    "The share that failed of its tasks that finished within the time shown.",
                    _failed(),
                    RATIO,
                    "Nothing has finished in the time shown",
                ),
                GREEN,
                (0.01, ORANGE),
                (0.1, RED),
            ),
        )
    ]


def _started() -> Vector:
    return of_workers(foreign("process_start_time_seconds"), catalogue.WORKER_INFO)


def _failed() -> Vector:
    failed, succeeded = (
        series(metric).growth("$__range").total() for metric in (catalogue.FAILED, catalogue.SUCCEEDED)
    )
    return Vector(f"{failed} / ({failed} + {succeeded} > 0)", frozenset())


def _about() -> list[Any]:
    return [
        whom_it_concerns('worker=~"$worker"', task_name="Task", queue="Queue").span(10).height(6),
        _consumed().span(6).height(6),
        _properties().span(8).height(6),
    ]


def _consumed() -> Any:
    consumed = series(catalogue.QUEUE_INFO).last().by("max", "queue")
    of_these = (level.by("max", "queue").where(consumed) for level in (LENGTH, AGE))
    length, age = of_these
    return tables.table(
        "Its Queues",
        "The queues that it consumes, or did when it last answered, their length, and the age of the oldest message.",
        (
            tables.Column("Consumed", COUNT, consumed),
            tables.Column("Length", TOTAL, length),
            tables.Column("Oldest", SECONDS, age),
        ),
        heads={"queue": "Queue"},
        hidden=("Consumed",),
        nothing="It consumes no queue, or has not been scraped",
    )


def _properties() -> Any:
    return tables.table(
        "What It Is",
        "The pool's kind and concurrency, and the versions that it runs, or did when it last answered.",
        (tables.Column("Present", COUNT, series(catalogue.WORKER_INFO).last()),),
        heads={"instance": "Target", "pool": "Pool", **tables.PROPERTIES},
        hidden=("Present",),
        nothing=SILENT,
    )


def _tasks() -> list[Any]:
    columns = [
        *(
            tables.Column(head, TOTAL, series(metric).growth("$__range").total("task_name"))
            for head, metric in COUNTED.items()
        ),
        *(
            tables.Column(name, SECONDS, quantile_shown(fraction, catalogue.DURATION, "task_name"))
            for name, fraction in QUANTILES.items()
        ),
        tables.Column("Last success", SECONDS, tables.ago(_last_success())),
    ]
    table = tables.table(
        "Its Tasks",
        "What it made of each task within the time shown, how long they took, and how long ago one succeeded in "
        "its pool: recorded by rules.yml, which remembers it over deploys.",
        columns,
        heads={"task_name": "Task"},
        pages={"Task": "task"},
        sorted_by="Received",
        nothing=SILENT,
    )
    total = series(catalogue.TASKS).growth("$__range").total("status")
    ended = pie(
        "Total by Status",
        "How its tasks ended within the time shown, each counted once.",
        Query(total, "{{status}}"),
        unit=TOTAL,
        nothing=SILENT,
    )
    return [
        table.span(16).height(9),
        painted(ended, STATUSES).span(8).height(9),
        *(panel.span(8) for panel in (_by_task("Received by Task", catalogue.RECEIVED), tasks.ends(), tasks.flow())),
        *(panel.span(8) for panel in (_slowest(), tasks.durations(), _raised())),
        *(panel.span(8) for panel in (tasks.timeouts(), tasks.revocations(), queues.returned())),
    ]


def _last_success() -> Vector:
    """Take what is recorded of its pool: a gauge of its own would begin anew with each of its lives."""
    seen = recorded("target_worker", catalogue.WORKER_UP, "last_timestamp")
    return recorded("pool_task", catalogue.LAST_SUCCESS, "max").where(seen).by("max", "task_name")


def _by_task(title: str, metric: Metric) -> Any:
    counted = series(metric).per_second().total("task_name").leading()
    panel = lines(title, f"How often. {HIGHEST}", Query(counted, "{{task_name}}"), unit=RATE, nothing=SILENT)
    return panel.data_links([links.page("task")])


def _slowest() -> Any:
    return lines(
        "Duration by Task (p95)",
        f"Nineteen of twenty took less, from start to end. {HIGHEST}",
        Query(quantile(0.95, catalogue.DURATION, "task_name").leading(), "{{task_name}}"),
        unit=SECONDS,
        nothing="Nothing has ended yet",
    ).data_links([links.page("task")])


def _raised() -> Any:
    raised = series(catalogue.FAILURES_BY_EXCEPTION).per_second().total("task_name", "exception").leading()
    return (
        lines(
            "Exceptions",
            f"Failures by task, and by the class of what was raised. {HIGHEST}",
            Query(raised, "{{task_name}} {{exception}}"),
            unit=RATE,
            nothing="No task has failed",
        )
        .data_links([links.page("task")])
        .links(links.runbook("CeleryTaskFailureRatioHigh"))
    )


def _slots() -> list[Any]:
    return [panel.span(8) for panel in (_taken(), _held(), workers.oldest("worker"), *_waits())]


def _taken() -> Any:
    size, taken = series(catalogue.POOL_SIZE), series(catalogue.TASKS_ACTIVE)
    panel = lines(
        "Slots Taken",
        "How many slots its pool has, and how many of them run a task, averaged over at least four scrapes.",
        Query(size.by("max"), "size"),
        Query(taken.over_time("avg").by("max"), "taken"),
        unit=COUNT,
        nothing=SILENT,
    )
    return panel.decimals(1).links(links.runbook("CeleryPoolSaturated"))


def _held() -> Any:
    levels = {"reserved": catalogue.TASKS_RESERVED, "scheduled": catalogue.TASKS_SCHEDULED}
    return stacked(
        lines(
            "Reserved and Scheduled Tasks",
            "Reserved: received, and waiting for a free slot. Scheduled: held for an ETA or a rate limit.",
            *(Query(series(metric).by("max"), what) for what, metric in levels.items()),
            unit=COUNT,
            nothing=SILENT,
        )
    ).links(links.runbook("CeleryTasksNotStarting"))


def _waits() -> list[Any]:
    waits = {"Queue Wait": catalogue.QUEUE_WAIT, "Prefetch Wait": catalogue.PREFETCH_WAIT}
    about = {
        "Queue Wait": "From published to started, of what it started. The publisher needs otel-celery as well.",
        "Prefetch Wait": "From received to started: how long tasks wait inside it for a slot.",
    }
    nothing = {"Queue Wait": queues.UNSENT, "Prefetch Wait": queues.UNSTARTED}
    inside = buckets(catalogue.PREFETCH_WAIT).growth().total("le")
    return [
        *(
            lines(
                f"{title} (p50, p95, p99)",
                about[title],
                *(Query(quantile(fraction, metric), name) for name, fraction in QUANTILES.items()),
                unit=SECONDS,
                nothing=nothing[title],
            ).links(links.runbook("CeleryTasksWaitingTooLong"))
            for title, metric in waits.items()
        ),
        heat(
            "Waits",
            "How many tasks waited in it for each range of seconds, from received to started.",
            Query(inside, "{{le}}"),
            nothing=queues.UNSTARTED,
        ),
    ]


def _process() -> list[Any]:
    return [
        *(panel.span(8) for panel in (*processes.used(), processes.children(), workers.loop_lag())),
        _connected().span(8),
        *(panel.span(8) for panel in (workers.reconnects(), workers.unknown(), _published())),
    ]


def _connected() -> Any:
    return lines(
        "Connected",
        "1 while its consumer has its connection to the broker, and 0 while it has none.",
        Query(series(catalogue.BROKER_CONNECTED).by("min"), "connected"),
        unit=COUNT,
        nothing=SILENT,
    ).links(links.runbook("CeleryBrokerDisconnected"))


def _published() -> Any:
    sent = series(catalogue.PUBLISHED).per_second().total("task_name").leading()
    return lines(
        "Published by Its Tasks",
        f"Messages that its tasks sent, by task. {HIGHEST}",
        Query(sent, "{{task_name}}"),
        unit=RATE,
        nothing="Its tasks have sent none, or publishing is not instrumented",
    ).data_links([links.page("task")])


ROWS = (
    (None, _now),
    (None, _about),
    ("Tasks", _tasks),
    ("Slots and Waiting", _slots),
    ("Process and Broker", _process),
)
"""The rows, and what makes their panels."""
