"""Links: from a series to itself alone, to a panel, to the dashboard of its task or worker, and to the runbook."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from grafana_foundation_sdk.builders.dashboard import DashboardLink

ALL, TASK, WORKER = "otel-celery", "otel-celery-task", "otel-celery-worker"
"""The dashboards' own numbers, which stand in their addresses."""

NAMES = {ALL: "Celery workers", TASK: "Celery task", WORKER: "Celery worker"}

CHOSEN = {
    "pool": "${__field.labels.pool}",
    "queue": "${__field.labels.queue}",
    "worker": "${__field.labels.worker}",
    "task": "${__field.labels.task_name}",
}
"""Which variables of a dashboard a link may set, from the labels of the series that was clicked."""

KEPT = ("datasource", "job", "environment", *CHOSEN)
"""What a link takes along, unless it sets it."""

PAGES = {"task": TASK, "worker": WORKER}
"""The dashboard about nothing but one of these."""

_PANEL = re.compile(r"@\{([^}]+)\}")
"""Where a link names another panel by its title, until that panel has a number."""


def narrowed(*variables: str) -> DashboardLink:
    """Show the dashboard of all, for nothing but the pool, worker or task that was clicked."""
    return DashboardLink(f"Only this {' and '.join(variables)}").url(_to(ALL, variables))


def page(variable: str) -> DashboardLink:
    """Show the dashboard of the one task or worker that was clicked."""
    return DashboardLink(f"All about this {variable}").url(_to(PAGES[variable], (variable,)))


def page_of_cell(variable: str) -> DashboardLink:
    """Show the dashboard of the one task or worker that a table's cell names."""
    address = f"{_to(PAGES[variable], (), variable)}&var-{variable}=${{__value.text}}"
    return DashboardLink(f"All about this {variable}").url(address)


def panel(title: str, *variables: str) -> DashboardLink:
    """Show another panel of the dashboard of all, large, for the pool, worker or task that was clicked."""
    return DashboardLink(f"{title} of this {' and '.join(variables)}").url(
        f"{_to(ALL, variables)}&viewPanel=@{{{title}}}",
    )


def runbook(*alerts: str) -> list[DashboardLink]:
    """Point to what to do about each of these alerts."""
    return [
        DashboardLink(f"Runbook: {alert}")
        .url(f"${{runbook:raw}}#{quote(alert.lower())}")
        .target_blank(target_blank=True)
        for alert in alerts
    ]


def runbook_whole() -> list[DashboardLink]:
    """Point to the runbook, which has a section for each alert."""
    return [DashboardLink("Runbook").url("${runbook:raw}").target_blank(target_blank=True)]


def across(here: str) -> list[DashboardLink]:
    """Point to the other dashboards, at the same time and choice, and to the runbook: beside the variables."""
    others = [
        DashboardLink(name).url(f"/d/{uid}").icon("dashboard").keep_time(keep_time=True).include_vars(include_vars=True)
        for uid, name in NAMES.items()
        if uid != here
    ]
    made = DashboardLink("Runbook").url("${runbook:raw}").icon("doc").target_blank(target_blank=True)
    return [*others, made.tooltip("What each alert means, how to look, what to do")]


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


def _to(uid: str, chosen: tuple[str, ...], *others: str) -> str:
    """Link to a dashboard at the time that is shown, with some variables set and the others kept."""
    kept = [f"${{{name}:queryparam}}" for name in KEPT if name not in (*chosen, *others)]
    made = [f"var-{name}={CHOSEN[name]}" for name in chosen]
    return f"/d/{uid}?{'&'.join(['${__url_time_range}', *kept, *made])}"
