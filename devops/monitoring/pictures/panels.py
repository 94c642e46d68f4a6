"""Which of the dashboard's panels are drawn, and into which files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Panel = dict[str, Any]
"""One panel, as the dashboard's JSON has it."""

ROWS = {None, "Saturation"}
"""No row, where the documented panels stand, and the one below them."""


def drawn(dashboard: Mapping[str, Any]) -> list[Panel]:
    """Choose the panels of these rows."""
    return [panel for row, panel in _by_row(dashboard) if row in ROWS]


def file_name(panel: Panel) -> str:
    """Name a panel's picture after its title."""
    return f"{'-'.join(re.findall('[a-z0-9]+', panel['title'].lower()))}.png"


def _by_row(dashboard: Mapping[str, Any]) -> Iterator[tuple[str | None, Panel]]:
    row = None
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            yield row, panel
