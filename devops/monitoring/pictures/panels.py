"""Which of the dashboards' rows are drawn, and into which files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Panel = dict[str, Any]
"""One panel, as a dashboard's JSON has it."""

DOCUMENTED = 8
"""How many panels stand first."""

PICTURES: Mapping[str, tuple[str, tuple[str | None, ...], slice]] = {
    "documented": ("grafana_dashboards.json", (None,), slice(0, DOCUMENTED)),
    "first-look": ("grafana_dashboards.json", (None,), slice(DOCUMENTED, None)),
    "objective": ("grafana_dashboards.json", ("SLO and Burn Rate",), slice(None)),
    "tasks": ("grafana_dashboards.json", ("Tasks",), slice(0, 4)),
    "queues": ("grafana_dashboards.json", ("Queues",), slice(0, 6)),
    "workers": ("grafana_dashboards.json", ("Workers",), slice(0, 4)),
    "one-task": ("celery_task.json", (None, "How It Ends"), slice(None)),
    "one-task-times": ("celery_task.json", ("How Long It Takes", "How Long It Waits"), slice(None)),
    "one-task-failures": ("celery_task.json", ("How It Goes Wrong",), slice(None)),
    "one-worker": ("celery_worker.json", (None,), slice(None)),
    "one-worker-tasks": ("celery_worker.json", ("Tasks",), slice(None)),
    "one-worker-slots": ("celery_worker.json", ("Slots and Waiting", "Process and Broker"), slice(None)),
}
"""A picture's name; the dashboard, the rows, of which None is none, and which of their panels."""


def drawn(name: str, dashboard: Mapping[str, Any]) -> list[Panel]:
    """Choose a picture's panels."""
    _, rows, which = PICTURES[name]
    row, chosen = None, []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        elif row in rows:
            chosen.append(panel)
    return chosen[which]


def file_name(name: str) -> str:
    """Name a picture's file."""
    return f"{name}.png"
