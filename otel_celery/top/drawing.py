"""Draw bars, sparklines and histograms with letters; with ASCII alone where the terminal has no others."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*%#"


def is_ascii() -> bool:
    """Tell whether the terminal takes no other letters; Textual puts something of its own in sys.stdout's place."""
    encoding = getattr(sys.__stdout__, "encoding", None) or "ascii"
    try:
        BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def bar(part: float, whole: float, width: int) -> str:
    """Draw how much of a whole there is."""
    full, empty = ("#", "-") if is_ascii() else ("█", "░")
    filled = round(width * min(1.0, part / whole)) if whole else 0
    filled = max(filled, 1) if part and whole else filled
    return full * filled + empty * (width - filled)


def spark(values: Sequence[float], width: int) -> str:
    """Draw the last values, each as high as it is beside the highest; what is not 0 is never drawn as nothing."""
    letters = ASCII if is_ascii() else BLOCKS
    shown = values[-width:]
    top = max(shown, default=0.0) or 1.0
    steps = len(letters) - 1
    return "".join(letters[max(1, round(steps * value / top)) if value else 0] for value in shown).rjust(width)


def histogram(buckets: Iterable[tuple[float, int]], width: int) -> list[tuple[str, str, int]]:
    """Draw a histogram: of each bucket its bound in words, its bar, and its count; empty ends are left out."""
    from otel_celery.watch.words import duration  # noqa: PLC0415

    rows = [(bound, number) for bound, number in buckets]
    filled = [index for index, (_, number) in enumerate(rows) if number]
    if not filled:
        return []
    rows = rows[max(0, filled[0] - 1) : filled[-1] + 2]
    top = max(number for _, number in rows)
    return [
        ("longer" if b == float("inf") else f"≤ {duration(b)}", bar(n, top, width) if n else "", n) for b, n in rows
    ]
