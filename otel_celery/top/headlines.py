"""What is said above the panes: how much there is of everything, notes, beats, and what is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from otel_celery.top import columns
from otel_celery.watch.words import count, duration, plural, rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.watch.model import View

STRIP, NOTES = 3, 2
"""Problems that are shown above the panes where these are not all shown, and notes, which have no pane."""


def counts(view: View, interval: float, *more: str) -> Text:
    """Say how much there is of everything, looked at every so many seconds, behind what else is to be said."""
    up = sum(1 for worker in view.workers if not worker.why)
    parts = [
        *more,
        f"{up} of {plural(len(view.workers), 'worker')} up",
        f"{sum(task.rate for task in view.tasks):.1f} ends/s",
        f"{sum(task.failed for task in view.tasks):.1f} failed/s",
        plural(len(view.problems), "problem"),
        f"every {interval:g} s",
        time.strftime("%H:%M:%S", time.localtime(view.at)),
    ]
    return line(" " + "  ".join(part for part in parts if part), "")


def notes(view: View, notice: str = "") -> Iterator[Text]:
    """Say notes and beats, which have no pane, behind what somebody is to know besides."""
    if notice:
        yield line(f" {notice}", columns.DIM)
    for note in view.notes[:NOTES]:
        yield line(f"! {note.sentence}", columns.ODD)
    if len(view.notes) > NOTES:
        yield line(f"! and {plural(len(view.notes) - NOTES, 'other')}: --once shows them", columns.ODD)
    for beat in view.beats:
        tick = "has not looked at its schedule" if beat.tick is None else f"last tick {duration(beat.tick)} ago"
        yield line(f"beat {beat.pool}: {count(beat.entries)} entries, {tick}, {rate(beat.sent)} sent/s", "")


def problems(view: View) -> Iterator[Text]:
    """Say what is wrong, the worst first."""
    for problem in view.problems[:STRIP]:
        style = columns.BAD if problem.severity == "critical" else columns.ODD
        mark = "!!" if problem.severity == "critical" else "!"
        yield line(f"{mark} {problem.alert} {problem.subject}: {problem.figure}", style)
    if len(view.problems) > STRIP:
        yield line(f"and {plural(len(view.problems) - STRIP, 'other')}: 4 shows them", columns.ODD)


def line(words: str, style: str) -> Text:
    """Make a line that is cut off where the screen ends."""
    return Text(words, style, no_wrap=True, overflow="ellipsis")
