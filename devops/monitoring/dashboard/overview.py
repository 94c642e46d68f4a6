"""The eight documented panels, in the documented order and under their documented names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import (
    ENVIRONMENT,
    MOST,
    Vector,
    foreign,
    quantile,
    recorded,
    recorded_name,
    series,
)
from devops.monitoring.dashboard.style import (
    COUNT,
    GREEN,
    HIGHEST,
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
    narrow,
    painted,
    pie,
    stacked,
    worded,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import DashboardLink

HEIGHT = 6
"""Two lines of four, so that what `now` shows below them is still on the first screen."""

WIDTHS = (4, 4, 8, 8, 7, 7, 5, 5)
"""Wide where the names of tasks stand beside the lines, with their values."""

FAILING = 0.1
"""Failures a second from which on the documented alert HighTaskFailureRate fires."""

DOWN, DRAINING, UP = 0, 0.5, 1
TILES = 24
LAST_SEEN = recorded("target_worker", catalogue.WORKER_UP, "last_timestamp")
EVER_SEEN = recorded_name("target_worker", catalogue.WORKER_UP, "last_timestamp")
SLOWEST = f"The {MOST} that were slowest over the time shown."


def panels() -> list[Any]:
    """Make the eight."""
    return [panel.span(width).height(HEIGHT) for width, panel in zip(WIDTHS, _documented(), strict=True)]


def _documented() -> list[Any]:
    return [
        _status(),
        _active(),
        _rate(
            "Task Success Rate",
            "Tasks a second that succeeded, by worker and task.",
            series(catalogue.SUCCEEDED),
        ).data_links([links.panel("Duration of Whole Pools (p50, p95, p99)", "task"), *_about("worker", "task")]),
        limited(
            _rate(
                "Task Failure Rate",
                "Tasks a second that raised, ran into their hard limit or lost their process, by worker and task. "
                f"HighTaskFailureRate fires above the line at {FAILING:g}.",
                series(catalogue.FAILED),
            ),
            (FAILING, RED),
        )
        .data_links([links.panel("Exceptions", "task"), *_about("worker", "task")])
        .links(links.runbook("HighTaskFailureRate")),
        _slim(
            "Task Duration (p95)",
            f"Nineteen of twenty tasks took less, from start to end, whatever the end was. By pool and task. {SLOWEST}",
            Query(quantile(0.95, catalogue.DURATION, "pool", "task_name").leading(), "{{task_name}} {{pool}}"),
            unit=SECONDS,
            nothing="Nothing has ended yet",
        ).data_links([links.panel("Durations", "task"), *_about("task")]),
        _slim(
            "Tasks Received",
            "Tasks a second that workers took from the broker, by pool and task; expired and repeated ones too. "
            f"{HIGHEST}",
            Query(
                series(catalogue.RECEIVED).per_second().total("pool", "task_name").leading(), "{{task_name}} {{pool}}"
            ),
            unit=RATE,
            nothing="No worker has been scraped",
        ).data_links([*_about("task")]),
        lines(
            "Task Retries",
            f"Tasks a second that asked to be run again, by worker and task. {HIGHEST}",
            _retried(),
            unit=RATE,
            nothing="No task was retried in the time shown",
        )
        .data_links([*_about("worker", "task")])
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
    known, unseen = _states(), _unseen()
    states = Vector(f"{known} or {unseen}", known.labels)
    return status(
        "Worker Status",
        "Up from ready until the pool has drained. A worker that died cannot say so: it is down while its target does "
        f"not answer. Those that are down come first, and {TILES} are shown at most: the row Workers counts them all.",
        _worst(states, "pool", "worker", ENVIRONMENT).bottom(TILES),
    )


def of_one_worker() -> Any:
    """Show whether the chosen worker is up."""
    about = "Up from ready until its pool has drained, and down while its target is silent."
    return status("Status", about, _worst(_states(), "worker"))


def _worst(states: Vector, *labels: str) -> Vector:
    """Take the worst state of a worker's name: of several workers in as many environments; of one it is the best."""
    return Vector(f"max without (instance) ({states})", states.labels - {"instance"}).by("min", *labels)


def status(title: str, about: str, states: Vector) -> Any:
    """Show which workers are up."""
    panel = figures(title, about, Query(states, "{{worker}}"), unit="none", nothing="No worker has been scraped")
    words = {DOWN: ("Down", RED), DRAINING: ("Draining", ORANGE), UP: ("Up", GREEN)}
    panel = worded(coloured(panel, RED, (DRAINING, ORANGE), (UP, GREEN)), words)
    return panel.data_links(_about("worker")).links(links.runbook("CeleryWorkerDown"))


def _states() -> Vector:
    """Tell up from draining, and remember who is gone, by what CeleryWorkerDown looks at too.

    Of a silent target the worker that was seen there last is down: those before it had other names, such as a
    container's, and are no more.
    """
    up, draining = series(catalogue.WORKER_UP), series(catalogue.DRAINING)
    silent = f"0 * {LAST_SEEN} and ignoring (worker) {foreign('up')} == 0"
    return Vector(f"{up} * (1 - {draining} / 2) or {silent}", up.labels)


def _unseen() -> str:
    """Name the targets of pools that have never answered."""
    pools = foreign("up", 'pool=~"$pool"', 'pool!=""')
    unseen = f"{pools} == 0 unless ignoring (worker) {EVER_SEEN}"
    return f'label_replace({unseen}, "worker", "$1 (never seen)", "pool", "(.*)")'


def _retried() -> Query:
    """Leave the tasks that are retried: a list of what is not would hide them."""
    counted = series(catalogue.RETRIED).per_second().total("worker", "task_name")
    some = Vector(f"{counted.throughout()} > 0", counted.labels)
    return Query(counted.leading(some), "{{task_name}} {{worker}}")


def _active() -> Any:
    panel = lines(
        "Active Tasks",
        "Tasks that are being executed now, read from each worker's own state, piled up: the height is all of them. "
        f"{HIGHEST}",
        Query(series(catalogue.TASKS_ACTIVE).highest("sum", "pool", "worker"), "{{worker}}"),
        unit=COUNT,
        nothing="No worker has been scraped",
    )
    return stacked(panel).data_links([links.panel("Utilisation of Workers", "worker"), *_about("worker")])


def _rate(title: str, about: str, counted: Vector) -> Any:
    """Draw a counter's rate by worker and task."""
    query = Query(counted.per_second().total("worker", "task_name").leading(), "{{task_name}} {{worker}}")
    return _slim(title, f"{about} {HIGHEST}", query, unit=RATE, nothing="No worker has been scraped")


def _slim(title: str, about: str, query: Query, *, unit: str, nothing: str) -> Any:
    return narrow(lines(title, about, query, unit=unit, nothing=nothing))


def _about(*variables: str) -> list[DashboardLink]:
    """Lead to all about each of these, and to this dashboard for nothing else."""
    return [*map(links.page, variables), links.narrowed(*variables)]
