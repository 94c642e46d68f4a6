"""The live view: one screen of panes, looked at anew each interval, which nothing that hangs holds up."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult, ScreenStackError
from textual.events import Event, Key
from textual.widgets import Static

from otel_celery.top import closely, drawing, headlines, terminal
from otel_celery.top.filterbox import FilterBox
from otel_celery.top.grid import Grid
from otel_celery.top.keys import BINDINGS, OF_PANES, come
from otel_celery.top.overlay import HELP, KEYS, WIDEST, Close
from otel_celery.top.panes import Panes
from otel_celery.top.style import STYLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.binding import BindingType
    from textual.widget import Widget

    from otel_celery.watch.fleet import Fleet
    from otel_celery.watch.model import View

TALL = 34
"""Lines from which on all panes are shown at once."""
INTERVALS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SETTLED = 3
"""Looks after which all that is watched has been met."""


class Top(App[None]):
    """The live view of a fleet."""

    CSS = STYLE
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS
    ENABLE_COMMAND_PALETTE = False
    TITLE = "otel-celery top"

    def __init__(
        self,
        fleet: Fleet,
        interval: float,
        caption: Callable[[], str] = lambda: "",
        notice: Callable[[], str] = lambda: "",
        leave: Callable[[], None] | None = None,
    ) -> None:
        """Show this fleet, looked at every ``interval`` seconds.

        ``caption`` is said beside what is counted, ``notice`` below it.
        ``leave`` is called where somebody wants to quit; without it that ends the view.
        """
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours: they fit it, be they sixteen, light or dark
        self._fleet = fleet
        self.interval = interval
        self._caption, self._notice = caption, notice
        self._leave = leave or self.exit
        self.view: View | None = None
        """What was looked at last."""
        self._shown: View | None = None
        self._looks = 0
        self.is_paused = False
        self._woken = asyncio.Event()
        self._panes = Panes()
        self._summary, self._strip = Static("asking the endpoints", classes="bar"), Static(id="strip")
        self._filter = FilterBox(self._panes.grid)

    def compose(self) -> ComposeResult:
        """Make the panes, what is said above them, and what can be typed below."""
        yield self._summary
        yield self._strip
        yield from self._panes.compose()
        yield self._filter
        yield self._panes.row
        yield Static(Text(KEYS.ljust(WIDEST), no_wrap=True), classes="bar")

    def on_mount(self) -> None:
        """Begin to look."""
        if drawing.is_ascii():
            terminal.keep_width(sys.__stderr__)  # where Textual writes
        self.action_pane(self._panes.chosen)
        self.run_worker(self._look_on())

    async def _look_on(self) -> None:
        """Look, and look again, until the end."""
        try:
            while True:
                begun = time.monotonic()
                self.view = await self._fleet.look(self.interval)
                if self._looks == SETTLED:
                    gc.freeze()  # what was met stays: the collector need not go through it again and again
                self._looks += 1
                if not self.is_paused:
                    self._shown = self.view
                    self.tell()
                left = self.interval - (time.monotonic() - begun)
                self._woken.clear()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), max(0.05, left))
        finally:
            await self._fleet.close()

    def tell(self) -> None:
        """Draw what was looked at."""
        view = self._shown
        if view is None or not self._is_there:
            return
        self._panes.tell(view)
        is_shown = self._arrange() or self._panes.chosen == "problems"
        words = headlines.counts(view, self.interval, "PAUSED" if self.is_paused else "", self._caption())
        words.align("left", self.size.width)
        self._summary.update(words)
        notice = self._filter.notice or self._notice()
        lines = [*headlines.notes(view, notice), *(() if is_shown else headlines.problems(view))]
        self._strip.update(Text("\n").join(lines))
        self._strip.set_class(not lines, "hidden")
        for screen in self.screen_stack:
            if isinstance(screen, Close) and screen.is_mounted:
                screen.tell()

    def _arrange(self) -> bool:
        """Show all panes at once where there is room, and tell whether there is."""
        is_tall = self.size.height >= TALL
        self.screen_stack[0].set_class(is_tall, "tall")
        self._panes.arrange(is_tall=is_tall)
        return is_tall

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.tell)

    def on_grid_moved(self) -> None:
        """Say what is under the cursor now, and how the rows are sorted."""
        if self._is_there:
            self._arrange()

    @property
    def _is_there(self) -> bool:
        """Tell whether there is a screen: it goes before the last look and the last message do."""
        return self.is_running and bool(self.screen_stack)

    @property
    def _is_filtering(self) -> bool:
        """Tell whether a filter is being typed."""
        return self.focused is self._filter

    def on_grid_opened(self, message: Grid.Opened) -> None:
        """Look closely at a row that was clicked."""
        if self._is_there:
            self._open(self._panes.grids[message.kind], message.row)

    def action_open(self) -> None:
        """Look closely at the row under the cursor; keep the filter, where one is typed."""
        grid = self._panes.grid
        if self._is_filtering:
            self.action_pane(self._panes.chosen)
        elif grid.row is not None:
            self._open(grid, grid.row)

    def _open(self, grid: Grid, row: Any) -> None:
        def lines(width: int) -> Iterable[Text]:
            view = self._shown
            return [] if view is None else closely.look(str(grid.id), grid.like(row), self._fleet, view, width)

        self.push_screen(Close(lines))

    def on_descendant_focus(self) -> None:
        """Take a pane that was clicked as the one that has the cursor."""
        focused = self.focused
        if isinstance(focused, Grid) and focused.id and focused.id != self._panes.chosen:
            self.action_pane(focused.id)

    def action_pane(self, name: str) -> None:
        """Put the cursor into a pane; a filter that is being typed is kept for the pane before."""
        self._filter.close()
        self._panes.chosen = name
        self._arrange()
        self._focus(self._panes.grids[name])
        self.tell()

    def _focus(self, widget: Widget) -> None:
        """Move the focus at once: ``Widget.focus`` does it behind the keys that have come already."""
        self.screen_stack[0].set_focus(widget)

    def action_next(self, by: int) -> None:
        """Put the cursor into the next pane, or the one before."""
        self.action_pane(self._panes.after(by))

    async def on_event(self, event: Event) -> None:
        """Hand on what comes, until there is no screen; a key that ends the filter finds typed what came before it."""
        try:
            for each in come(event):
                if isinstance(each, Key) and not (each.is_printable or each.is_forwarded) and self._is_filtering:
                    await self._filter.settle()
                await super().on_event(each)
        except ScreenStackError:  # Textual asks for the screen as well
            if self._is_there:
                raise

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the panes alone where something is open over them, which then has the key."""
        return super().check_action(action, parameters) and (len(self.screen_stack) == 1 or action not in OF_PANES)

    def action_filter(self) -> None:
        """Begin to type a filter for the pane."""
        self._filter.open(self._panes.grid)
        self._focus(self._filter)

    def on_input_changed(self) -> None:
        """Filter as it is typed."""
        self._filter.keep()
        self.tell()

    def on_filter_box_filled(self) -> None:
        """Say that the filter takes no more."""
        self.tell()

    def action_unfilter(self) -> None:
        """End the filter by Esc: what was typed goes; a second Esc does it for one that was kept."""
        self._filter.reset(self._panes.grid)
        self.action_pane(self._panes.chosen)

    def action_pause(self) -> None:
        """Hold what is shown, or let it go on."""
        self.is_paused = not self.is_paused
        if not self.is_paused:
            self._shown = self.view
        self.tell()

    def action_interval(self, by: int) -> None:
        """Look less often, or more often."""
        nearest = min(range(len(INTERVALS)), key=lambda index: abs(INTERVALS[index] - self.interval))
        self.interval = INTERVALS[max(0, min(len(INTERVALS) - 1, nearest + by))]
        self._woken.set()
        self.tell()

    def action_help(self) -> None:
        """Tell the keys."""
        self.push_screen(Close(lambda _: [Text(HELP)]))

    def action_leave(self) -> None:
        """Quit; what is open over the panes goes, since what ``leave`` has said is said above them."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self._leave()
