"""What the package knows of the alerts: severity, limits, and the runbook's first step.

alerts.json is made of devops/monitoring/alerts.yml and RUNBOOK.md by ``make generated``, so that Prometheus and this
package judge by the same numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("alerts.json")
CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of alerts.yml."""

    name: str
    severity: str
    """``critical`` or ``warning``."""
    after: float
    """Seconds for which its condition must hold before it fires: the rule's ``for``."""
    limits: tuple[float, ...]
    """The numbers that its expression compares with, in their order; 0 is left out."""
    window: float
    """Seconds that its expression looks back on; 0 if it looks at a moment."""
    look: str
    """The runbook's first step: what to look at."""
    command: str
    """The first command of that step; empty if there is none."""
    do: str
    """What the runbook says to do then."""

    @property
    def link(self) -> str:
        """Where the runbook tells more."""
        return f"devops/monitoring/RUNBOOK.md#{self.name.lower()}"


def read() -> dict[str, Alert]:
    """Read the table, by the alerts' names."""
    table: dict[str, dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: _alert(name, entry) for name, entry in table.items()}


def _alert(name: str, entry: dict[str, Any]) -> Alert:
    return Alert(
        name,
        entry["severity"],
        entry["for"],
        tuple(entry["limits"]),
        entry["window"],
        entry["look"],
        entry["command"],
        entry["do"],
    )
