"""Links: from a series to itself alone, from a panel to another, and to the runbook."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from grafana_foundation_sdk.builders.dashboard import DashboardLink

UID = "otel-celery"

CHOSEN = {
    "pool": "${__field.labels.pool}",
    "worker": "${__field.labels.worker}",
    "task": "${__field.labels.task_name}",
}
"""Which variables of the dashboard a link may set, from the labels of the series that was clicked."""

_PANEL = re.compile(r"@\{([^}]+)\}")
"""Where a link names another panel by its title, until that panel has a number."""


def narrowed(*variables: str) -> DashboardLink:
    """Show the whole dashboard, for nothing but the pool, worker or task that was clicked."""
    return DashboardLink(f"Only this {' and '.join(variables)}").url(_here(variables))


def of_cell(variable: str) -> DashboardLink:
    """Show the whole dashboard, for nothing but the worker or task that a table's cell names."""
    return DashboardLink(f"Only this {variable}").url(f"{_here((), variable)}&var-{variable}=${{__value.text}}")


def panel(title: str, *variables: str) -> DashboardLink:
    """Show another panel, large, for the pool, worker or task that was clicked."""
    return DashboardLink(f"{title} of this {' and '.join(variables)}").url(
        f"{_here(variables)}&viewPanel=@{{{title}}}",
    )


def runbook(*alerts: str) -> list[DashboardLink]:
    """Point to what to do about each of these alerts."""
    return [
        DashboardLink(f"Runbook: {alert}")
        .url(f"${{runbook:raw}}#{quote(alert.lower())}")
        .target_blank(target_blank=True)
        for alert in alerts
    ]


def to_runbook() -> DashboardLink:
    """Point to the runbook as a whole, beside the variables."""
    made = DashboardLink("Runbook").url("${runbook:raw}").icon("doc").target_blank(target_blank=True)
    return made.tooltip("What each alert means, how to look, what to do")


def numbered(value: Any, numbers: dict[str, int]) -> Any:
    """Put panels' numbers in place of their titles, anywhere in a JSON document.

    Raises KeyError where a link names a panel that does not exist.
    """
    if isinstance(value, str):
        return _PANEL.sub(lambda match: str(numbers[match[1]]), value)
    if isinstance(value, list):
        return [numbered(item, numbers) for item in value]
    if isinstance(value, dict):
        return {key: numbered(item, numbers) for key, item in value.items()}
    return value


def _here(chosen: tuple[str, ...], *others: str) -> str:
    """Link to this dashboard at the time that is shown, with some variables set and the others kept."""
    kept = [f"${{{name}:queryparam}}" for name in ("datasource", *CHOSEN) if name not in (*chosen, *others)]
    made = [f"var-{name}={CHOSEN[name]}" for name in chosen]
    return f"/d/{UID}?{'&'.join(['${__url_time_range}', *kept, *made])}"
