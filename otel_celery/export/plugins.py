"""Find OpenTelemetry's entry points of installed packages, such as exporters and id generators."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def find(group: str, name: str) -> EntryPoint | None:
    """Find the entry point with this name in a group; None if no installed package has it."""
    return next(iter(entry_points(group=group, name=name)), None)
