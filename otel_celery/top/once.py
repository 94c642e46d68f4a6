"""A view printed once, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from otel_celery.top import columns
from otel_celery.watch.words import count, duration, rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from otel_celery.watch.model import View

SHOWN = 3
"""Columns up to this rank are printed."""
GAP = 2
"""Spaces between two columns: figures have one in them, as 300 ms."""


def show(console: Console, view: View) -> None:
    """Print what there is, and what is wrong last: there a terminal's eye is."""
    for kind in (columns.WORKERS, columns.tasks(view.at), columns.QUEUES):
        if rows := kind.rows(view):
            console.print(_table(kind, rows, console.width))
    for beat in view.beats:
        tick = "never" if beat.tick is None else f"{duration(beat.tick)} ago"
        console.print(
            f"beat {beat.pool}: {count(beat.entries)} entries, last tick {tick}, {rate(beat.sent)} sent/s", markup=False
        )
    for note in view.notes:
        console.print(f"Note: {note.sentence}", markup=False)
    for line in problems(view):
        console.print(line)


def problems(view: View) -> Iterator[Text]:
    """Say what is wrong, and the runbook's first step."""
    if view.is_well:
        yield Text("Nothing is wrong.", columns.GOOD)
    for problem in view.problems:
        state = "alert" if problem.is_firing else f"an alert after {duration(problem.after)}"
        style = columns.BAD if problem.severity == "critical" else columns.ODD
        yield Text.assemble(
            (f"{problem.severity} {problem.alert}", style),
            f" {problem.subject}: {problem.figure} (for {duration(problem.since)}; {state})",
        )
        step = f"  first: {problem.look}" + (f"  $ {problem.command}" if problem.command else "")
        yield Text(step)


def _table(kind: columns.Kind[Any], rows: Any, width: int) -> Table:
    """Set the columns that have room, as the live view does; what grows there is cut first."""
    drawn = Table(title=kind.name, title_justify="left", box=None, pad_edge=False, header_style="bold")
    printed = [column for column in kind.columns if column.rank <= SHOWN]
    chosen = [column for column, _ in columns.fitting(printed, width, GAP)]
    for column in chosen:
        drawn.add_column(column.title, justify="left" if column.is_text else "right", no_wrap=not column.grows)
    for row in rows:
        drawn.add_row(*(_cell(column.shown(row)) for column in chosen))
    return drawn


def _cell(shown: str | Text) -> Text:
    return shown if isinstance(shown, Text) else Text(shown, no_wrap=True, overflow="ellipsis")
