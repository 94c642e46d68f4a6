"""What the package knows of the alerts: severity, limits, and the runbook's first step.

alerts.json is made of devops/monitoring/alerts.yml and RUNBOOK.md by ``make generated``, so that Prometheus and this
package judge by the same numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("alerts.json")
CRITICAL = "critical"
DOWN, NOT_OURS = "CeleryWorkerDown", "NotOtelCelery"


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
    section: str
    """The runbook's, where it says more: the alert's name, save for NotOtelCelery."""


def read() -> dict[str, Alert]:
    """Read the table, by the alerts' names, and add NotOtelCelery, which only a watch can tell from a dead worker."""
    table: dict[str, dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    alerts = {name: _alert(name, entry) for name, entry in table.items()}
    return {**alerts, NOT_OURS: _not_ours(alerts[DOWN])}


def _not_ours(down: Alert) -> Alert:
    """Make what is said of a port at which something else answers: no worker is to be started again for that."""
    return replace(
        down,
        name=NOT_OURS,
        look="Is this the worker's port? Its log names the one that it opened, or says that it was taken.",
        command="",
        do="Name the right port; or end what has taken it, and start the worker again.",
    )


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
        section=name,
    )
