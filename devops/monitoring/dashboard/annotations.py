"""What happened, drawn over every panel: alerts that fired, and workers that were started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.models.dashboard import AnnotationQuery

from devops.monitoring.dashboard.promql import Vector, foreign, of_workers
from devops.monitoring.dashboard.style import SOURCE
from otel_celery import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping


WHEN = {"useValueForTime": True}
"""The value is the time, in milliseconds."""


class EventQuery(AnnotationQuery):
    """An annotation with the keys that the Prometheus data source reads, and the builder library's model lacks."""

    def __init__(self, name: str, colour: str, events: Vector, templates: Mapping[str, str | bool]) -> None:
        """Draw ``events``, named by ``templates`` of their labels."""
        super().__init__(name=name, datasource=SOURCE, enable=True, hide=False, icon_color=colour, expr=str(events))
        self._templates = templates

    def to_json(self) -> dict[str, object]:
        """Give the JSON, with the keys that the model lacks."""
        return {**super().to_json(), **self._templates}

    def build(self) -> EventQuery:
        """Give itself, as builders do."""
        return self


def events() -> list[EventQuery]:
    """Make both."""
    return [
        EventQuery(
            "Alerts",
            "red",
            foreign("ALERTS", 'alertstate="firing"').by("max", "alertname", "severity"),
            {"titleFormat": "{{alertname}}", "textFormat": "{{severity}}", "tagKeys": "severity"},
        ),
        EventQuery(
            "Worker restarts",
            "purple",
            _starts(),
            {"titleFormat": "{{worker}} started", "textFormat": "{{instance}}", "tagKeys": "pool", **WHEN},
        ),
    ]


def _starts() -> Vector:
    """Tell when workers started, of those that did within the time shown."""
    started = of_workers(foreign("process_start_time_seconds"), catalogue.WORKER_INFO)
    last = started.by("max", "pool", "worker", "instance")
    return Vector(f"{last} * 1000 > $__from", last.labels)
