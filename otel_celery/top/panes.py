"""The panes: a table each, its title, and below them what the row under the cursor says in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.widgets import Static

from otel_celery.top import columns
from otel_celery.top.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.widget import Widget

    from otel_celery.watch.model import View

NAMES = ("workers", "tasks", "queues", "problems")
"""In the order of their keys."""
DOWNWARDS = ("problems", "workers", "tasks", "queues")
"""What is wrong stands first, where there is room for all of them."""


class Panes:
    """All of them; one has the cursor."""

    def __init__(self) -> None:
        """Begin with the workers."""
        self.chosen = NAMES[0]
        self.grids = {kind.name: Grid(kind) for kind in kinds(0)}
        self.tabs = Static(classes="title")
        self.row = Static(id="row")
        self._titles = {name: Static(classes="title") for name in NAMES}

    @property
    def grid(self) -> Grid:
        """The table that has the cursor."""
        return self.grids[self.chosen]

    def compose(self) -> Iterator[Widget]:
        """Give what is drawn, from above."""
        yield self.tabs
        for name in DOWNWARDS:
            yield self._titles[name]
            yield self.grids[name]

    def after(self, by: int) -> str:
        """Name the pane so many after the one that has the cursor."""
        return NAMES[(NAMES.index(self.chosen) + by) % len(NAMES)]

    def tell(self, view: View) -> None:
        """Show a view's rows."""
        for kind in kinds(view.at):
            self.grids[kind.name].tell(view, kind)

    def arrange(self, *, is_tall: bool) -> None:
        """Show all panes, or the one that has the cursor where there is no room, and say how each is sorted."""
        self.tabs.set_class(is_tall, "hidden")
        self.tabs.update(Text("  ").join(self._title(name) for name in NAMES))
        for name in NAMES:
            is_needed = name != "problems" or bool(self.grids[name].told)
            is_shown = name == self.chosen or (is_tall and is_needed)
            self.grids[name].set_class(not is_shown, "hidden")
            self._titles[name].set_class(not (is_shown and is_tall), "hidden")
            self._titles[name].update(self._title(name))
        self._tell_row()

    def _title(self, name: str) -> Text:
        """Say how many rows a pane has, how they are sorted, and what they are filtered by."""
        grid = self.grids[name]
        number = f"{len(grid.rows)}/{grid.told}" if grid.filter else f"{grid.told}"
        more = [f"by {grid.order}"] if grid.order else []
        more += [f"/{grid.filter}"] if grid.filter else []
        words = f"{NAMES.index(name) + 1} {name} ({', '.join([number, *more])})"
        return Text(words, "reverse" if name == self.chosen else "")

    def _tell_row(self) -> None:
        """Say below of the row under the cursor what its columns may have no room for."""
        row = self.grid.row
        told: dict[str, Callable[[], str]] = {
            "workers": lambda: f"{row.name}: {row.state.value}{': ' + row.why if row.why else ''}",
            "tasks": lambda: f"{row.name}: mostly {row.exception}" if row.exception else row.name,
            "queues": lambda: f"queue {row.name}",
            "problems": lambda: f"{row.figure}\nFirst: {row.look}" + (f"\n$ {row.command}" if row.command else ""),
        }
        self.row.update(Text(told[self.chosen]() if row is not None else ""))


def kinds(now: float) -> tuple[columns.Kind[Any], ...]:
    """Give the tables at a moment, in seconds since the epoch."""
    return (columns.WORKERS, columns.tasks(now), columns.QUEUES, columns.PROBLEMS)
