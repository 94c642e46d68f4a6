"""The line in which a pane's filter is typed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

if TYPE_CHECKING:
    from otel_celery.top.grid import Grid

MOST = 200
"""Letters of a filter at most: the screen is drawn for each, and what is pasted by mistake has thousands."""
SETTLED = 1.0
"""Seconds after which no letter is waited for: the box may have gone."""


class FilterBox(Input):
    """Filters one table as somebody types; it is there while they do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        replace(each, priority=True)  # as the keys are that move the focus: each in its turn
        for each in Input.BINDINGS
        if isinstance(each, Binding)
    ]

    class Filled(Message):
        """Something was left out, since there is no room for it."""

    def __init__(self, grid: Grid) -> None:
        """Be closed, and know a table: letters that come late are the last one's."""
        super().__init__(placeholder="filter", id="filter", compact=True)
        self._grid = grid
        self._is_cut = False

    @property
    def notice(self) -> str:
        """What is to be said while it is typed: that something was left out."""
        is_said = self._is_cut and self.has_class("-open")
        return f"The filter takes {MOST} letters at most: the rest is left out." if is_said else ""

    def open(self, grid: Grid) -> None:
        """Begin to type the filter of a table."""
        self._grid, self.value, self._is_cut = grid, grid.filter, False
        self.add_class("-open")

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Take the slash too, whose name Textual does not know for that of a letter."""
        return key == "slash" or super().check_consume_key(key, character)

    def replace(self, text: str, start: int, end: int) -> None:
        """Take what is typed, pasted or deleted, as far as there is room."""
        left, right = sorted((max(0, start), min(len(self.value), end)))
        fits = text[: MOST - len(self.value) + right - left]
        if len(fits) < len(text) and not self._is_cut:
            self.post_message(self.Filled())
        self._is_cut = len(fits) < len(text)
        if fits or not text:
            super().replace(fits, left, right)

    async def settle(self) -> None:
        """Wait until the letters that came before are typed."""
        typed = asyncio.Event()
        self.call_later(typed.set)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(typed.wait(), SETTLED)

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
