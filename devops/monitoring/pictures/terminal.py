"""The demo's last table as SVG: what its terminal shows, drawn by Rich, which drew the table."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.text import Text

WIDTH = 72
"""The table's, and a little more."""

FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich has the viewer fetch a font, which a picture within a page may not do: any font of fixed width will."""

REDRAWN = re.compile(r"\r?\x1b\[2K(?:\x1b\[1A\x1b\[2K)*")
"""What Rich writes before it draws a live table anew: it goes up, and wipes each line."""


def table(screen: str) -> str:
    """Find the last table that was drawn whole."""
    *_, last, _ = REDRAWN.split(screen)
    return last


def svg(screen: str) -> str:
    """Draw it below the command that showed it."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print("$ make demo", highlight=False)
    console.print(Text.from_ansi(table(screen)))
    return FONTS.sub("", console.export_svg(title="otel-celery"))
