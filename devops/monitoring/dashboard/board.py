"""The whole dashboard: variables, annotations, and the rows of panels, laid out and numbered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from devops.monitoring.dashboard import (
    beat,
    broker,
    detail,
    links,
    overview,
    processes,
    publishers,
    queues,
    saturation,
    waiting,
)
from devops.monitoring.dashboard.annotations import events
from devops.monitoring.dashboard.variables import INPUT, variables

if TYPE_CHECKING:
    from grafana_foundation_sdk.models import dashboard as models

ROWS = (saturation, detail, waiting, queues, publishers, beat, processes, broker)
"""The rows below the documented panels, which stand first and in no row."""


def document() -> dict[str, Any]:
    """Make the dashboard's JSON, with what Grafana asks for at an import by hand."""
    made = board()
    numbers = {panel.title: panel.id_val for panel in made.panels or []}
    plain = json.loads(JSONEncoder().encode(made))
    return {"__inputs": [INPUT], **links.numbered(plain, numbers)}


def board() -> models.Dashboard:
    """Build the dashboard."""
    builder = Dashboard("Celery workers").uid(links.UID).tags(["celery", "otel-celery"])
    builder.description("Worker pools that otel-celery instruments. Made by `make generated`: change it there.")
    builder.time("now-1h", "now").refresh("30s").tooltip(DashboardCursorSync.CROSSHAIR).editable()
    builder.link(links.to_runbook())
    builder.variables(variables()).annotations(events())
    for panel in overview.panels():
        builder.with_panel(panel.span(12))
    for row in ROWS:
        builder.with_row(Row(row.TITLE))
        for panel in row.panels():
            builder.with_panel(panel)
    made = builder.build()
    for number, panel in enumerate(made.panels or [], start=1):
        panel.id_val = number
    return made
