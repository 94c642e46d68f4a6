"""The line in which a pane's filter is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Input

if TYPE_CHECKING:
    from otel_celery.top.grid import Grid


class FilterBox(Input):
    """Filters one table as somebody types; it is there while they do."""

    def __init__(self, grid: Grid) -> None:
        """Be closed, and know a table: letters that come late are the last one's."""
        super().__init__(placeholder="filter", id="filter", compact=True)
        self._grid = grid

    def open(self, grid: Grid) -> None:
        """Begin to type the filter of a table."""
        self._grid, self.value = grid, grid.filter
        self.add_class("-open")

    def keep(self) -> None:
        """Filter the table by what is typed."""
        self._grid.filter = self.value
        self._grid.reorder()

    def close(self) -> None:
        """End; what was typed is kept, and letters on their way yet are added to it."""
        self.remove_class("-open")

    def reset(self, grid: Grid) -> None:
        """End, and show all of a table again."""
        self.open(grid)
        self.value = ""
        self.keep()
        self.close()
