"""What installed packages register with OpenTelemetry: exporters, generators of ids."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def find(group: str, name: str) -> EntryPoint | None:
    """Find the entry point of this name; None where no installed package has it."""
    return next(iter(entry_points(group=group, name=name)), None)
