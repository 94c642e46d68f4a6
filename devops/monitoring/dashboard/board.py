"""The three dashboards whole: variables, annotations, and the rows of panels, laid out and numbered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from devops.monitoring.dashboard import (
    beat,
    exporters,
    links,
    now,
    objective,
    one_task,
    one_worker,
    overview,
    processes,
    publishers,
    queues,
    tasks,
    workers,
)
from devops.monitoring.dashboard.annotations import events
from devops.monitoring.dashboard.promql import VARIABLES
from devops.monitoring.dashboard.variables import INPUT, variables

if TYPE_CHECKING:
    from collections.abc import Callable

    from grafana_foundation_sdk.models import dashboard as models

Panels = tuple["str | None", "Callable[[], list[Any]]"]
"""A row's title, or None for what stands in no row, and what makes its panels."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    file: str
    uid: str
    about: str
    rows: tuple[Panels, ...]
    one: str | None = None
    """The variable of which just one value is chosen, if the dashboard is about one task or worker."""


BOARDS = (
    Board(
        "grafana_dashboards.json",
        links.ALL,
        "Worker pools that otel-celery instruments.",
        (
            (None, overview.panels),
            (None, now.panels),
            *(
                (row.TITLE, row.panels)
                for row in (objective, tasks, publishers, queues, beat, workers, processes, exporters)
            ),
        ),
    ),
    Board(
        "celery_task.json",
        links.TASK,
        "One task: how often, how long, how it goes wrong, and where.",
        one_task.ROWS,
        one="task",
    ),
    Board(
        "celery_worker.json",
        links.WORKER,
        "One worker: what it runs, what it waits for, and how its process does.",
        one_worker.ROWS,
        one="worker",
    ),
)
"""The first keeps the name under which it was documented."""


def document(board: Board) -> dict[str, Any]:
    """Make a dashboard's JSON, with what Grafana asks for at an import by hand."""
    made = build(board)
    plain = json.loads(_exactly(board.one, JSONEncoder().encode(made)))
    return {"__inputs": [INPUT], **links.numbered(plain, _numbers(made))}


def build(board: Board) -> models.Dashboard:
    """Build a dashboard."""
    builder = Dashboard(links.NAMES[board.uid]).uid(board.uid).tags(["celery", "otel-celery"])
    builder.description(f"{board.about} Made by `make generated`: change it there.")
    builder.time("now-1h", "now").refresh("30s").tooltip(DashboardCursorSync.CROSSHAIR).editable()
    for link in links.across(board.uid):
        builder.link(link)
    builder.variables(variables(board.one)).annotations(events())
    for title, panels in board.rows:
        if title is not None:
            builder.with_row(Row(title))
        for panel in panels():
            builder.with_panel(panel)
    made = builder.build()
    for number, panel in enumerate(made.panels or [], start=1):
        panel.id_val = number
    return made


def _numbers(made: models.Dashboard) -> dict[str, int]:
    """Give the numbers of the panels to which links lead: they are those of the dashboard of all."""
    known = made if made.uid == links.ALL else build(BOARDS[0])
    return {panel.title: panel.id_val for panel in known.panels or []}


def _exactly(one: str | None, text: str) -> str:
    """Choose one value by its name: Grafana puts it in as it is, and as an expression its dots would match anything."""
    for label, variable in VARIABLES.items():
        if variable == f"${one}":
            return text.replace(f'{label}=~\\"{variable}\\"', f'{label}=\\"{variable}\\"')
    return text
