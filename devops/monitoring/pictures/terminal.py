"""What a terminal shows of the demo as SVG: the live view, at work and in trouble, and what the doctor says then."""

from __future__ import annotations

import asyncio
import io
import re
from typing import TYPE_CHECKING

from rich.console import Console

from otel_celery.pools.client import Identity
from otel_celery.settings.settings import Port
from otel_celery.top import drawing
from otel_celery.top.app import Top
from otel_celery.watch.asking import Asker
from otel_celery.watch.endpoints import of_url
from otel_celery.watch.fleet import Fleet
from otel_celery.watch.sources import Given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIZE = (110, 36)
"""Columns and lines: all panes are shown, and a page on the web has room for it."""
WATCHED = 70
"""Seconds before the first picture: rates are of a minute."""
TROUBLED = 45
"""Seconds after the incident."""

WIDE = 130
"""Columns of the doctor's sentences, which the terminal breaks."""

FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich has the viewer fetch a font, which a picture within a page may not do: any font of fixed width will."""


def drawn(addresses: Iterable[str], go_wrong: Callable[[], None], watched: float = WATCHED) -> tuple[str, str]:
    """Watch these endpoints; draw them before something goes wrong, and after."""
    return asyncio.run(_drawn(list(addresses), go_wrong, watched))


def sentences(said: str) -> str:
    """Draw what the doctor has printed."""
    console = Console(record=True, file=io.StringIO(), width=WIDE, highlight=False)
    for line in said.splitlines():
        word = line.partition(":")[0]
        style = {"CRITICAL": "bold red", "WARNING": "bold yellow"}.get(word, "")
        console.print(line, style=style, markup=False)
    return FONTS.sub("", console.export_svg(title="otel-celery doctor"))


async def _drawn(addresses: list[str], go_wrong: Callable[[], None], watched: float) -> tuple[str, str]:
    drawing.is_ascii = lambda: False  # whatever this process's own terminal takes
    endpoints = [of_url(address) for address in addresses]
    app = Top(Fleet([Given(endpoints)], Asker(Port(), Identity(), 2)), 1.0)
    async with app.run_test(size=SIZE):
        await asyncio.sleep(watched)
        well = app.export_screenshot(title="otel-celery top")
        await asyncio.to_thread(go_wrong)
        await asyncio.sleep(TROUBLED if watched else 0)
        trouble = app.export_screenshot(title="otel-celery top")
    return FONTS.sub("", well), FONTS.sub("", trouble)
