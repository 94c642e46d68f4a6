"""What each key does in the live view, and which keys have come."""

from __future__ import annotations

from textual.binding import Binding, BindingType
from textual.events import Event, Key

from otel_celery.top.panes import NAMES

BINDINGS: list[BindingType] = [
    # What moves the focus, and what a table does, has priority: it is done before the next key is handed to who has
    # the focus, since over a slow line keys come at once. The filter takes its letters all the same.
    *(Binding(str(n), f"pane('{pane}')", pane, show=False, priority=True) for n, pane in enumerate(NAMES, 1)),
    Binding("tab", "next(1)", "Next pane", show=False, priority=True),
    Binding("shift+tab", "next(-1)", "Pane before", show=False, priority=True),
    Binding("slash", "filter", "Filter", show=False, priority=True),
    Binding("escape", "unfilter", "End the filter", show=False, priority=True),
    Binding("enter", "open", "Open", show=False, priority=True),
    Binding("p,space", "pause", "Pause", show=False),
    Binding("plus,equals_sign", "interval(1)", "Less often", show=False),
    Binding("minus", "interval(-1)", "More often", show=False),
    Binding("question_mark,f1", "help", "Help", show=False, priority=True),
    Binding("q", "leave", "Quit", show=False),
    Binding("ctrl+c", "leave", "Quit", show=False, priority=True),  # else an open row, or the filter, takes it
]

OF_PANES = frozenset({"pane", "next", "filter", "unfilter", "open", "help"})
"""What a key does only where nothing is open over the panes."""

ALT = "alt+"


def come(event: Event) -> tuple[Event, ...]:
    """Tell what has come: a letter with Alt is Esc and that letter, which a terminal writes alike.

    Over a slow line they are in one packet. Nothing here is done by Alt.
    """
    if isinstance(event, Key) and event.key.startswith(ALT) and event.is_printable:
        return Key("escape", None), Key(event.character or "", event.character)
    return (event,)
