"""A table that draws only the rows that are to be seen, so that hundreds cost no more than a screenful.

Textual's DataTable measures each cell that changes, and here all of them do, each second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from otel_celery.top.columns import Column, Kind, fitting, ordered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

    from otel_celery.watch.model import View

HEAD = 1
"""Lines of the table's head."""
HEAD_STYLE = Style(bold=True, underline=True)
CURSOR = Style(reverse=True)


class Grid(ScrollView, can_focus=True):
    """One table: it sorts, filters, and has a row under its cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(keys, action, said, show=False, priority=True)  # as the keys are that move the focus: each in its turn
        for keys, action, said in (
            ("up,k", "move(-1)", "Up"),
            ("down,j", "move(1)", "Down"),
            ("pageup", "page(-1)", "Page up"),
            ("pagedown", "page(1)", "Page down"),
            ("home,g", "move(-1000000)", "First"),
            ("end,G", "move(1000000)", "Last"),
            ("left,less_than_sign", "sort(-1)", "Sort"),
            ("right,greater_than_sign,s", "sort(1)", "Sort by the next column"),
            ("r", "reverse", "Reverse"),
        )
    ]

    class Opened(Message):
        """A row is to be looked at closely."""

        def __init__(self, kind: str, row: Any) -> None:
            """Name the table, and the row."""
            super().__init__()
            self.kind = kind
            self.row = row

    class Moved(Message):
        """Another row is under the cursor, or the same one says something else."""

    def __init__(self, kind: Kind[Any]) -> None:
        """Begin without rows, in the order that they are told in."""
        super().__init__(id=kind.name)
        self._kind = kind
        self._told: Sequence[Any] = ()
        self._rows: list[Any] = []
        self._key: tuple[str, ...] | None = None
        self._sorted: str | None = None
        self._is_reversed = False
        self.filter = ""

    @property
    def row(self) -> Any:
        """The row under the cursor; None if there is none."""
        return self._rows[self._at] if self._rows else None

    @property
    def rows(self) -> Sequence[Any]:
        """The rows as they are shown."""
        return self._rows

    @property
    def told(self) -> int:
        """How many rows there are, without a filter."""
        return len(self._told)

    def like(self, row: Any) -> Any:
        """Give a row as it is now; as it was, if it has gone."""
        key = self._kind.key(row)
        return next((each for each in self._told if self._kind.key(each) == key), row)

    @property
    def order(self) -> str | None:
        """The title of the column that it is sorted by."""
        return self._sorted

    def tell(self, view: View, kind: Kind[Any]) -> None:
        """Show a view's rows; the cursor stays on its row, wherever that goes."""
        self._kind, self._told = kind, kind.rows(view)
        self.reorder()

    def reorder(self) -> None:
        """Filter and sort anew."""
        words = self.filter.casefold().split()
        rows = [row for row in self._told if all(word in self._kind.text(row).casefold() for word in words)]
        column = self._column()
        self._rows = ordered(rows, column, is_reversed=self._is_reversed) if column else rows
        self.virtual_size = Size(self.size.width, len(self._rows) + HEAD)
        self.refresh()
        self.post_message(self.Moved())

    def _column(self) -> Column[Any] | None:
        return next((column for column in self._kind.columns if column.title == self._sorted), None)

    @property
    def _at(self) -> int:
        keys = (index for index, row in enumerate(self._rows) if self._kind.key(row) == self._key)
        return next(keys, 0)

    def render_line(self, y: int) -> Strip:
        """Draw a line: the head always, below it the rows that are scrolled to."""
        width = self.size.width
        chosen = fitting(self._kind.columns, width)
        if y < HEAD:
            return self._head(chosen, width)
        index = y - HEAD + self.scroll_offset.y
        if not self._rows and index == 0:
            words = f"no row matches {self.filter!r}" if self.filter and self._told else self._kind.empty
            return Strip([Segment(words[:width], Style(dim=True))]).adjust_cell_length(width)
        if index >= len(self._rows):
            return Strip.blank(width)
        return self._line(self._rows[index], chosen, width, is_under=self.has_focus and index == self._at)

    def _head(self, chosen: Sequence[tuple[Column[Any], int]], width: int) -> Strip:
        cells = []
        for column, room in chosen:
            mark = ("^" if self._is_reversed != column.is_text else "v") if column.title == self._sorted else ""
            cells.append((Text(column.title[: room - len(mark)] + mark), room, column.is_text))
        return _strip(cells, width, HEAD_STYLE)

    def _line(self, row: Any, chosen: Sequence[tuple[Column[Any], int]], width: int, *, is_under: bool) -> Strip:
        cells = []
        for column, room in chosen:
            shown = column.shown(row)
            cells.append((shown if isinstance(shown, Text) else Text(shown), room, column.is_text))
        return _strip(cells, width, CURSOR if is_under else Style())

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        if self._rows:
            self._go(max(0, min(len(self._rows) - 1, self._at + by)))

    def action_page(self, by: int) -> None:
        """Move the cursor by so many screenfuls."""
        self.action_move(by * max(1, self.size.height - HEAD - 1))

    def _go(self, index: int) -> None:
        self._key = self._kind.key(self._rows[index])
        room = max(1, self.size.height - HEAD)
        top = self.scroll_offset.y
        if not top <= index < top + room:
            self.scroll_to(y=index if index < top else index - room + 1, animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def action_sort(self, by: int) -> None:
        """Sort by the next column, or the one before; one that has no room is named in the pane's title."""
        titles = [column.title for column in self._kind.columns]
        at = titles.index(self._sorted) if self._sorted in titles else (-1 if by > 0 else 0)
        self._sort(titles[(at + by) % len(titles)])

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._is_reversed = not self._is_reversed
        self.reorder()

    def _sort(self, title: str) -> None:
        self._is_reversed = not self._is_reversed if title == self._sorted else False
        self._sorted = title
        self.reorder()

    def on_click(self, event: events.Click) -> None:
        """Sort by the head that was clicked; move to the row that was, or open it if the cursor is there."""
        self.focus()
        if event.y < HEAD:
            left = 0
            for column, room in fitting(self._kind.columns, self.size.width):
                if left <= event.x <= left + room:
                    self._sort(column.title)
                    return
                left += room + 1
            return
        index = event.y - HEAD + self.scroll_offset.y
        if index < len(self._rows):
            is_again = self._kind.key(self._rows[index]) == self._key
            self._go(index)
            if is_again:
                self.post_message(self.Opened(self._kind.name, self.row))


def _strip(cells: Sequence[tuple[Text, int, bool]], width: int, style: Style) -> Strip:
    """Set cells side by side, each in its room, with a space between them."""
    segments: list[Segment] = []
    for text, room, is_left in cells:
        cell = text.copy()
        cell.truncate(room, overflow="ellipsis")
        pad = " " * (room - cell.cell_len)
        plain = Segment(cell.plain, style + _style(cell))
        segments += [plain, Segment(pad + " ", style)] if is_left else [Segment(pad, style), plain, Segment(" ", style)]
    return Strip(segments).adjust_cell_length(width, style)


def _style(text: Text) -> Style:
    return Style.parse(text.style) if isinstance(text.style, str) and text.style else Style()
