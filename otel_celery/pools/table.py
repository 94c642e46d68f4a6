"""Draw the statuses of pools as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.pools.status import Status

COLUMNS = ("port", "up", "active/size", "received", "failed", "p95")


def table(statuses: Iterable[Status]) -> Table:
    """Draw one row a pool."""
    drawn = Table("pool")
    for column in COLUMNS:
        drawn.add_column(column, justify="right")
    for status in statuses:
        drawn.add_row(status.pool, str(status.port), *_cells(status))
    return drawn


def _cells(status: Status) -> tuple[str, ...]:
    slots = "-" if status.active is None else f"{status.active}/{status.size}"
    return (_state(status), slots, _count(status.received), _count(status.failed), _seconds(status.p95))


def _state(status: Status) -> str:
    if not status.up:
        return "[red]down[/]"
    if status.draining:
        return "[yellow]draining[/]"
    return "[green]yes[/]" if status.connected else "[red]no broker[/]"


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
