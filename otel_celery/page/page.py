"""The page about one process, in HTML and as text; what the port is given to show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from otel_celery.page import markup
from otel_celery.page.overview import overview
from otel_celery.page.runbook import Runbook
from otel_celery.page.style import STYLE, headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric as Family

    from otel_celery.page.overview import Health, Overview
    from otel_celery.page.tables import Table

HERE = "-/runbook"
"""Where the port has the runbook, from the page."""


class StatusPage:
    """Writes the page of one process."""

    headers: tuple[tuple[str, str], ...] = headers(STYLE)

    def __init__(self, who: str, address: str, clock: Callable[[], float] = time.time) -> None:
        """``who`` is what sentences call the process, such as ``worker w@h``.

        ``address`` is the URL of an operator's own runbook, or empty: then the link leads to the port's. The clock
        gives seconds since the epoch.
        """
        self.runbook = Runbook(who)
        self._who = who
        self._address = address
        self._clock = clock

    def html(self, families: Iterable[Family], health: Health) -> bytes:
        """Write the document for a browser."""
        return markup.write(overview(self._who, families, health, self._clock()), self._address or HERE).encode()

    def text(self, families: Iterable[Family], health: Health) -> bytes:
        """Write some lines for a terminal."""
        return _lines(overview(self._who, families, health, self._clock()), self._address or f"/{HERE}").encode()

    def refreshing(self, html: bytes, seconds: int) -> bytes:
        """Have a document load itself again after so many seconds."""
        return markup.refreshing(html, seconds)


def _lines(shown: Overview, runbook: str) -> str:
    facts = [f"{heading}: {fact}" for heading, fact in shown.facts]
    tables = [line for table in shown.tables for line in ("", *_aligned(table))]
    links = ["", "/metrics, /-/ready; a browser sees the same", f"runbook: {runbook}"]
    lines = [f"{shown.who}: {shown.state}", *facts, *shown.troubles, *tables, *links]
    return "".join(f"{line}\n" for line in lines)


def _aligned(table: Table) -> list[str]:
    """Write a table with its names on the left and its figures on the right of their columns."""
    rows = [table.columns.heads, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(paired))
        for paired in (zip(row, widths, strict=True) for row in rows)
    ]
    return [*lines, *([table.rest] if table.rest else [])]
