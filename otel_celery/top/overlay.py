"""What is opened over the panes: a close look, or the help; and the keys that the panes name themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.app import ComposeResult

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

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,left,question_mark", "dismiss", "Back", priority=True)
    ]

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
