"""The live view of the demo as SVG, at work and in trouble: what its terminal shows, drawn by Textual as there."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

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

FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich has the viewer fetch a font, which a picture within a page may not do: any font of fixed width will."""


def drawn(addresses: Iterable[str], go_wrong: Callable[[], None], watched: float = WATCHED) -> tuple[str, str]:
    """Watch these endpoints; draw them before something goes wrong, and after."""
    return asyncio.run(_drawn(list(addresses), go_wrong, watched))


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
