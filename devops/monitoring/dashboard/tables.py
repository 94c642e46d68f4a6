"""Tables: a row for each set of labels, a column for each figure; those of every task and of every worker."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, foreign, of_workers, recorded, series
from devops.monitoring.dashboard.style import COUNT, RATE, RATIO, SECONDS, TOTAL, Query, rows
from otel_celery import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONG = {"Alert": 170, "Worker": 170, "Task": 150, "Target": 120, "Concurrency": 110, "otel-celery": 90}
"""Pixels of the columns whose words, or whose heads, are long."""

ROWS = 100
"""How many rows a table has at most: more are for Prometheus's own page."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures: its head, its unit, and the expression that fills it."""

    head: str
    unit: str
    expression: Vector


def tasks() -> Any:
    """Make the table of tasks."""
    duration = catalogue.DURATION
    columns = (
        Column("Received", RATE, recorded("pool_task", catalogue.RECEIVED, "rate5m")),
        Column("Failed", RATIO, recorded("pool_task", catalogue.FAILED, "ratio_rate5m", per="_per_finished")),
        *(Column(name, SECONDS, recorded("pool_task", duration, f"{name}_rate5m")) for name in ("p50", "p95", "p99")),
        Column("Last success", SECONDS, ago(recorded("pool_task", catalogue.LAST_SUCCESS, "max"))),
    )
    return table(
        "Tasks Now",
        f"Each task of each pool over the last 5 minutes: the {ROWS} that are received most often. Failed: of those "
        "that succeeded or failed. Last success: how long ago. Recorded by rules.yml for whole pools: worker and queue "
        "do not narrow it.",
        columns,
        heads={"pool": "Pool", "task_name": "Task"},
        pages={"Task": "task"},
        sorted_by="Received",
    )


def workers() -> Any:
    """Make the table of workers."""
    started = of_workers(foreign("process_start_time_seconds"), catalogue.WORKER_INFO).by("max", "pool", "worker")
    columns = (
        Column("Active", COUNT, series(catalogue.TASKS_ACTIVE)),
        Column("Workers", COUNT, series(catalogue.WORKER_INFO)),
        Column("Slots", COUNT, series(catalogue.POOL_SIZE)),
        Column("Uptime", SECONDS, ago(started)),
    )
    return table(
        "Workers Now",
        f"What each worker runs now, its pool's kind and concurrency, its versions, and since when: the {ROWS} with "
        "the most active tasks.",
        columns,
        heads={"pool": "Pool", "worker": "Worker", **PROPERTIES},
        pages={"Worker": "worker"},
        hidden=("Workers",),
        sorted_by="Active",
    )


PROPERTIES = {
    "pool_kind": "Kind",
    "concurrency": "Concurrency",
    "celery_version": "Celery",
    "otel_celery_version": "otel-celery",
}
"""What a worker says of itself, and how it is headed."""


def ago(timestamp: Vector) -> Vector:
    """Tell how many seconds ago a timestamp was."""
    return Vector(f"time() - {timestamp}", timestamp.labels)


def table(  # noqa: PLR0913  the parts of a table
    title: str,
    about: str,
    columns: Sequence[Column],
    *,
    heads: Mapping[str, str],
    pages: Mapping[str, str] | None = None,
    hidden: tuple[str, ...] = (),
    sorted_by: str | None = None,
    nothing: str = "Nothing has been scraped or recorded yet",
) -> Any:
    """Join the columns on the labels that they share, which come first; the first column says which rows there are."""
    values = {f"Value #{letter}": column.head for letter, column in zip(ascii_uppercase, columns, strict=False)}
    queries = (
        Query(expression, column.head) for expression, column in zip(_joined(columns, heads), columns, strict=True)
    )
    panel = rows(title, about, *queries, unit=COUNT, nothing=nothing)
    panel.transformations(
        [
            DataTransformerConfig("merge", options={}),
            DataTransformerConfig("organize", options=_order(heads, values, hidden)),
        ]
    )
    for column in columns:
        if column.head not in hidden:
            whole = [DynamicConfigValue("decimals", 0)] if column.unit == TOTAL else []
            own = [DynamicConfigValue("unit", column.unit), DynamicConfigValue("noValue", "-"), *whole]
            panel.override_by_name(column.head, own)
    for head in heads.values():
        if head in LONG:
            panel.override_by_name(head, [DynamicConfigValue("custom.minWidth", LONG[head])])
    for head, variable in (pages or {}).items():
        panel.override_by_name(head, [DynamicConfigValue("links", [links.page_of_cell(variable).build()])])
    if sorted_by:
        panel.sort_by([common.TableSortByFieldState().display_name(sorted_by).desc(desc=True)])
    return panel


def _joined(columns: Sequence[Column], heads: Mapping[str, str]) -> list[Vector]:
    """Leave no label that is not a column, and in the later columns no row that the first one does not have."""
    first, *others = (_joinable(column.expression, heads) for column in columns)
    chosen = Vector(f"topk({ROWS}, {first})", first.labels)
    return [chosen, *(other.where(chosen) for other in others)]


def _order(heads: Mapping[str, str], values: Mapping[str, str], hidden: tuple[str, ...]) -> dict[str, Any]:
    every = {**heads, **values}
    kept = {name: head for name, head in every.items() if head not in hidden}
    gone = {name: True for name in ("Time", *values) if name not in kept}
    return {
        "excludeByName": gone,
        "indexByName": {name: index for index, name in enumerate(every)},
        "renameByName": kept,
    }


def _joinable(vector: Vector, heads: Mapping[str, str]) -> Vector:
    """Leave no label that is not a column, those that somebody's Prometheus adds among them."""
    if vector.labels <= heads.keys():
        return vector
    return vector.by("max", *(label for label in heads if label in vector.labels))
