"""Numbers, durations and names as people read them."""

from __future__ import annotations

import datetime as dt
import math

LONGEST = 120
"""Characters of a name at most."""

NOTHING = "-"
"""In place of a figure that is not there."""

MOST = 1e15
"""What is above this is told by its size alone; no count of ours comes near."""

CENTURIES = 1e10
"""Seconds that no duration has; one that is longer is a mistake."""

UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
"""From this many seconds on: the unit, and the one below it that is told as well."""


def name(value: object) -> str:
    """Make a name fit to be shown: without control characters, which might move a reader's eye or terminal, and cut."""
    text = str(value)
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return (
        cut
        if cut.isprintable()
        else "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in cut)
    )


def count(number: float | None) -> str:
    """Write a count, such as ``1,203``."""
    if number is None or not math.isfinite(number):
        return NOTHING
    return f"{number:,.0f}" if abs(number) < MOST else f"{number:.3g}"


def counted(number: float, one: str, many: str) -> str:
    """Write a count with its noun."""
    return f"{count(number)} {one if number == 1 else many}"


def duration(seconds: float | None) -> str:
    """Write a duration in two units at most: ``12 ms``, ``3.2 s``, ``1 h 5 min``."""
    if seconds is None or not seconds < CENTURIES:
        return NOTHING
    positive = max(0.0, seconds)
    if positive < 0.9995:  # noqa: PLR2004  what is rounded to 1,000 ms is a second
        return f"{positive * 1000:.3g} ms"
    if positive < 59.5:  # noqa: PLR2004  the same for a minute
        return f"{positive:.2g} s" if positive < 9.95 else f"{positive:.0f} s"  # noqa: PLR2004  two digits tell enough
    whole = round(positive)
    size, unit, lesser, below = next(units for units in UNITS if whole >= units[0])
    rest = whole % size // lesser
    return f"{whole // size:,} {unit} {rest} {below}" if rest else f"{whole // size:,} {unit}"


def ago(moment: float | None, now: float) -> str:
    """Write how long ago a moment was, both in seconds since the epoch; zero is no moment."""
    if not moment or not math.isfinite(moment):
        return NOTHING
    return "now" if now - moment < 1 else f"{duration(now - moment)} ago"


def time(moment: float) -> str:
    """Write a moment, in seconds since the epoch, as a date and time in UTC."""
    if not 0 <= moment < CENTURIES:
        return NOTHING
    return f"{dt.datetime.fromtimestamp(moment, dt.timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
