"""The two tables: every task with its figures of now, and every worker with what it is."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, foreign, of_workers, recorded, series
from devops.monitoring.dashboard.style import COUNT, RATE, RATIO, SECONDS, Query, rows
from otel_celery import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        Column("Last success", SECONDS, ago(series(catalogue.LAST_SUCCESS).by("max", "pool", "task_name"))),
    )
    return _table(
        "Tasks Now",
        "Each task of each pool over the last 5 minutes. Failed: of those that succeeded or failed. Last success: how "
        "long ago. Recorded by rules.yml for whole pools: the worker variable does not narrow it.",
        columns,
        heads={"pool": "Pool", "task_name": "Task"},
        link=("Task", "task"),
    )


def workers() -> Any:
    """Make the table of workers."""
    started = of_workers(foreign("process_start_time_seconds"), catalogue.WORKER_INFO).by("max", "pool", "worker")
    heads = {
        "pool": "Pool",
        "worker": "Worker",
        "pool_kind": "Kind",
        "concurrency": "Concurrency",
        "celery_version": "Celery",
        "otel_celery_version": "otel-celery",
    }
    columns = (
        Column("Workers", COUNT, series(catalogue.WORKER_INFO)),
        Column("Slots", COUNT, series(catalogue.POOL_SIZE)),
        Column("Uptime", SECONDS, ago(started)),
    )
    return _table(
        "Workers",
        "Every worker that is scraped: its pool's kind and concurrency, the versions it runs, and since when.",
        columns,
        heads=heads,
        link=("Worker", "worker"),
        hidden=("Workers",),
    )


def ago(timestamp: Vector) -> Vector:
    """Tell how many seconds ago a timestamp was."""
    return Vector(f"time() - {timestamp}", timestamp.labels)


def _table(  # noqa: PLR0913  the parts of a table
    title: str,
    about: str,
    columns: tuple[Column, ...],
    *,
    heads: Mapping[str, str],
    link: tuple[str, str],
    hidden: tuple[str, ...] = (),
) -> Any:
    """Join the columns on the labels that they share, which come first."""
    values = {f"Value #{letter}": column.head for letter, column in zip(ascii_uppercase, columns, strict=False)}
    queries = (Query(_joinable(column.expression, heads), column.head) for column in columns)
    panel = rows(title, about, *queries, unit=COUNT, nothing="Nothing has been scraped or recorded yet")
    order = {name: index for index, name in enumerate([*heads, *values])}
    kept = {name: head for name, head in {**heads, **values}.items() if head not in hidden}
    gone = {name: True for name in ("Time", *values) if name not in kept}
    panel.transformations(
        [
            DataTransformerConfig("merge", options={}),
            DataTransformerConfig(
                "organize",
                options={"excludeByName": gone, "indexByName": order, "renameByName": kept},
            ),
        ]
    )
    for column in columns:
        if column.head not in hidden:
            panel.override_by_name(column.head, [DynamicConfigValue("unit", column.unit)])
    return panel.override_by_name(link[0], [DynamicConfigValue("links", [links.of_cell(link[1]).build()])])


def _joinable(vector: Vector, heads: Mapping[str, str]) -> Vector:
    """Leave no label that is not a column."""
    if vector.labels <= heads.keys():
        return vector
    return vector.by("max", *(label for label in heads if label in vector.labels))
