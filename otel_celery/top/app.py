"""The live view: one screen of panes, looked at anew each interval, which nothing that hangs holds up."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from otel_celery.top import closely, columns, drawing, terminal
from otel_celery.top.grid import Grid
from otel_celery.watch.words import count, duration, plural, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_celery.watch.fleet import Fleet
    from otel_celery.watch.model import View

TALL = 34
"""Lines from which on all panes are shown at once."""
INTERVALS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
PANES = ("workers", "tasks", "queues", "problems")
SETTLED = 3
"""Looks after which all that is watched has been met."""
STRIP, NOTES = 3, 2
"""Problems that are shown above the panes where these are not all shown, and notes, which have no pane."""

WIDEST = 1000
"""Columns of any terminal: a bar goes from edge to edge."""
KEYS = " ? help  1-4 panes  / filter  s sort  Enter open  p pause  q quit"
HELP = """\
1 2 3 4      workers, tasks, queues, problems; Tab goes to the next one
up down j k  move; Page Up, Page Down, g and G
s < >        sort by the next column, or the one before; r turns the order
             round; a click on a head does both
/            filter as you type: each word must be somewhere in the row;
             Enter keeps it, Esc ends it
Enter        look closely at a row: histogram, exceptions, queues;
             at a problem: the runbook. Esc goes back
p, Space     pause what is shown; the endpoints are asked on
+ -          look less often, more often
q, Ctrl-C    quit; the exit status is 1 if something is wrong then

Rates are a second, and they and p50 and p95 are of the last minute; `wait`
is p95, `success` how long ago. `exits` are the pool's children that ended.
A problem's alert fires once it has held for its time: "20 s of 5 min".
"""


class Close(ModalScreen[None]):
    """A close look, over the panes; it is drawn anew with each view."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,left,question_mark", "dismiss", "Back")]

    def __init__(self, lines: Callable[[int], Iterable[Text]]) -> None:
        """Show the lines that this makes for a width."""
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """Make its one pane, which scrolls."""
        with VerticalScroll(id="close"):
            yield Static(id="lines")
        yield Static("Esc goes back", id="keys", classes="bar")

    def on_mount(self) -> None:
        """Draw it."""
        self.tell()
        self.query_one("#close").focus()

    def on_resize(self) -> None:
        """Draw it for the new width."""
        self.tell()

    def tell(self) -> None:
        """Draw it anew."""
        width = max(20, self.app.size.width - 2)
        self.query_one("#lines", Static).update(Text("\n").join(self._lines(width)))


class Top(App[None]):
    """The live view of a fleet."""

    CSS = """
    Screen { layout: vertical; }
    .bar { height: 1; text-style: reverse; }
    .title { height: 1; text-style: bold; }
    .hidden { display: none; }
    Grid { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    .tall Grid { height: auto; max-height: 25%; }
    .tall #tasks { height: 1fr; max-height: 100%; }
    .tall #workers { max-height: 40%; }
    #strip { height: auto; max-height: 8; text-wrap: nowrap; text-overflow: ellipsis; }
    #row { height: auto; max-height: 5; }
    #filter { height: 1; border: none; padding: 0; display: none; }
    #filter.-open { display: block; }
    #close { height: 1fr; padding: 0 1; }
    Close { background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"pane('{pane}')", pane, show=False) for number, pane in enumerate(PANES, 1)),
        Binding("tab", "next(1)", "Next pane", show=False, priority=True),
        Binding("shift+tab", "next(-1)", "Pane before", show=False, priority=True),
        Binding("slash", "filter", "Filter", show=False),
        Binding("p,space", "pause", "Pause", show=False),
        Binding("plus,equals_sign", "interval(1)", "Less often", show=False),
        Binding("minus", "interval(-1)", "More often", show=False),
        Binding("question_mark,f1", "help", "Help", show=False),
        Binding("q", "leave", "Quit", show=False),
        Binding("ctrl+c", "leave", "Quit", show=False, priority=True),  # else an open row, or the filter, takes it
    ]
    ENABLE_COMMAND_PALETTE = False
    TITLE = "otel-celery top"

    def __init__(
        self,
        fleet: Fleet,
        interval: float,
        caption: Callable[[], str] = lambda: "",
        leave: Callable[[], None] | None = None,
    ) -> None:
        """Show this fleet, looked at every ``interval`` seconds; ``caption`` is said beside what is counted.

        ``leave`` is called where somebody wants to quit; without it that ends the view.
        """
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours: they fit it, be they sixteen, light or dark
        self._fleet = fleet
        self.interval = interval
        self._caption = caption
        self._leave = leave or self.exit
        self.view: View | None = None
        """What was looked at last."""
        self._shown: View | None = None
        self._looks = 0
        self.is_paused = False
        self.pane = PANES[0]
        self._woken = asyncio.Event()
        self._grids = {kind.name: Grid(kind) for kind in kinds(0)}
        self._titles = {name: Static(classes="title") for name in PANES}
        self._summary, self._strip, self._tabs, self._row = (
            Static("asking the endpoints", classes="bar"),
            Static(id="strip"),
            Static(classes="title"),
            Static(id="row"),
        )
        self._filter = Input(placeholder="filter", id="filter", compact=True)

    def compose(self) -> ComposeResult:
        """Make the panes; what is wrong stands first, where there is room for all of them."""
        yield self._summary
        yield self._strip
        yield self._tabs
        for name in ("problems", "workers", "tasks", "queues"):
            yield self._titles[name]
            yield self._grids[name]
        yield self._filter
        yield self._row
        yield Static(Text(KEYS.ljust(WIDEST), no_wrap=True), classes="bar")

    def on_mount(self) -> None:
        """Begin to look."""
        if drawing.is_ascii():
            terminal.keep_width(sys.__stderr__)  # where Textual writes
        self.action_pane(self.pane)
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
                try:
                    await asyncio.wait_for(self._woken.wait(), max(0.05, left))
                except asyncio.TimeoutError:
                    continue
        finally:
            await self._fleet.close()

    def tell(self) -> None:
        """Draw what was looked at."""
        view = self._shown
        if view is None or not self._is_there:
            return
        for kind in kinds(view.at):
            self._grids[kind.name].tell(view, kind)
        self._arrange()
        self._summary.update(self._counts(view))
        lines = list(self._worst(view))
        self._strip.update(Text("\n").join(lines))
        self._strip.set_class(not lines, "hidden")
        self._tell_row()
        for screen in self.screen_stack:
            if isinstance(screen, Close) and screen.is_mounted:
                screen.tell()

    def _counts(self, view: View) -> Text:
        """Say how much there is of everything."""
        up = sum(1 for worker in view.workers if not worker.why)
        parts = [
            "PAUSED" if self.is_paused else "",
            self._caption(),
            f"{up} of {plural(len(view.workers), 'worker')} up",
            f"{sum(task.rate for task in view.tasks):.1f} ends/s",
            f"{sum(task.failed for task in view.tasks):.1f} failed/s",
            plural(len(view.problems), "problem"),
            f"every {self.interval:g} s",
            time.strftime("%H:%M:%S", time.localtime(view.at)),
        ]
        return _line((" " + "  ".join(part for part in parts if part)).ljust(self.size.width), "")

    def _worst(self, view: View) -> Iterable[Text]:
        """Say notes and beats, which have no pane; and what is wrong, where its pane is not shown."""
        for note in view.notes[:NOTES]:
            yield _line(f"! {note.sentence}", columns.ODD)
        if len(view.notes) > NOTES:
            yield _line(f"! and {plural(len(view.notes) - NOTES, 'other')}: --once shows them", columns.ODD)
        for beat in view.beats:
            tick = "has not looked at its schedule" if beat.tick is None else f"last tick {duration(beat.tick)} ago"
            yield _line(f"beat {beat.pool}: {count(beat.entries)} entries, {tick}, {rate(beat.sent)} sent/s", "")
        if self.is_tall or self.pane == "problems":
            return
        for problem in view.problems[:STRIP]:
            style = columns.BAD if problem.severity == "critical" else columns.ODD
            mark = "!!" if problem.severity == "critical" else "!"
            yield _line(f"{mark} {problem.alert} {problem.subject}: {problem.figure}", style)
        if len(view.problems) > STRIP:
            yield _line(f"and {plural(len(view.problems) - STRIP, 'other')}: 4 shows them", columns.ODD)

    @property
    def is_tall(self) -> bool:
        """Tell whether all panes are shown at once."""
        return self.size.height >= TALL

    def _arrange(self) -> None:
        """Show all panes, or the one that has the cursor where there is no room."""
        self.screen_stack[0].set_class(self.is_tall, "tall")
        self._tabs.set_class(self.is_tall, "hidden")
        self._tabs.update(Text("  ").join(self._title(name) for name in PANES))
        for name in PANES:
            is_needed = name != "problems" or bool(self._grids[name].told)
            is_shown = name == self.pane or (self.is_tall and is_needed)
            self._grids[name].set_class(not is_shown, "hidden")
            self._titles[name].set_class(not (is_shown and self.is_tall), "hidden")
            self._titles[name].update(self._title(name))

    def _title(self, name: str) -> Text:
        """Say how many rows a pane has, how they are sorted, and what they are filtered by."""
        grid = self._grids[name]
        number = f"{len(grid.rows)}/{grid.told}" if grid.filter else f"{grid.told}"
        more = [f"by {grid.order}"] if grid.order else []
        more += [f"/{grid.filter}"] if grid.filter else []
        words = f"{PANES.index(name) + 1} {name} ({', '.join([number, *more])})"
        return Text(words, "reverse" if name == self.pane else "")

    def _tell_row(self) -> None:
        """Say below of the row under the cursor what its columns may have no room for."""
        row = self._grids[self.pane].row
        told: dict[str, Callable[[], str]] = {
            "workers": lambda: f"{row.name}: {row.state.value}{': ' + row.why if row.why else ''}",
            "tasks": lambda: f"{row.name}: mostly {row.exception}" if row.exception else row.name,
            "queues": lambda: f"queue {row.name}",
            "problems": lambda: f"{row.figure}\nFirst: {row.look}" + (f"\n$ {row.command}" if row.command else ""),
        }
        self._row.update(Text(told[self.pane]() if row is not None else ""))

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.tell)

    def on_grid_moved(self) -> None:
        """Say what is under the cursor now, and how the rows are sorted."""
        if self._is_there:
            self._arrange()
            self._tell_row()

    @property
    def _is_there(self) -> bool:
        """Tell whether there is a screen: it goes before the last look and the last message do."""
        return self.is_running and bool(self.screen_stack)

    def on_grid_opened(self, message: Grid.Opened) -> None:
        """Look closely at a row."""
        grid = self._grids[message.kind]

        def lines(width: int) -> Iterable[Text]:
            view = self._shown
            return [] if view is None else self._closely(message.kind, grid.like(message.row), view, width)

        self.push_screen(Close(lines))

    def _closely(self, kind: str, row: Any, view: View, width: int) -> Iterable[Text]:
        if kind == "workers":
            return closely.of_worker(row, self._fleet.worker(row.url, row.name), view, width)
        if kind == "tasks":
            return closely.of_task(row, self._fleet.task(row.pool, row.name), view, width)
        return closely.of_queue(row, view) if kind == "queues" else closely.of_problem(row)

    def on_descendant_focus(self) -> None:
        """Take a pane that was clicked as the one that has the cursor."""
        focused = self.focused
        if isinstance(focused, Grid) and focused.id and focused.id != self.pane:
            self.action_pane(focused.id)

    def action_pane(self, name: str) -> None:
        """Put the cursor into a pane; a filter that is being typed is kept for the pane before."""
        self._keep_typed()
        self._filter.remove_class("-open")
        self.pane = name
        self._arrange()
        self._grids[name].focus()
        self.tell()

    def action_next(self, by: int) -> None:
        """Put the cursor into the next pane, or the one before."""
        if len(self.screen_stack) == 1:
            self.action_pane(PANES[(PANES.index(self.pane) + by) % len(PANES)])

    def action_filter(self) -> None:
        """Begin to type a filter for the pane."""
        box = self._filter
        box.value = self._grids[self.pane].filter
        box.add_class("-open")
        box.focus()

    def on_input_changed(self) -> None:
        """Filter as it is typed."""
        self._keep_typed()
        self.tell()

    def _keep_typed(self) -> None:
        """Filter the pane by what the box says now: a message of it may come after the key that left it."""
        if self._filter.has_class("-open"):
            self._grids[self.pane].filter = self._filter.value
            self._grids[self.pane].reorder()

    def on_input_submitted(self) -> None:
        """Keep the filter, and go back to its pane."""
        self._end_filter()

    def on_key(self, event: Any) -> None:
        """End the filter by Esc: what was typed goes; a second Esc does it for one that was kept."""
        if event.key != "escape" or len(self.screen_stack) > 1:
            return
        self._filter.value = ""
        self._grids[self.pane].filter = ""
        self._grids[self.pane].reorder()
        self._end_filter()

    def _end_filter(self) -> None:
        self._filter.remove_class("-open")
        self._grids[self.pane].focus()
        self.tell()

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


def kinds(now: float) -> tuple[columns.Kind[Any], ...]:
    """Give the tables at a moment, in seconds since the epoch."""
    return (columns.WORKERS, columns.tasks(now), columns.QUEUES, columns.PROBLEMS)


def _line(words: str, style: str) -> Text:
    return Text(words, style, no_wrap=True, overflow="ellipsis")
