"""What happened, drawn over every panel: alerts that fired, versions that changed, and workers that were started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.models.dashboard import AnnotationQuery

from devops.monitoring.dashboard.alerts import alerts
from devops.monitoring.dashboard.promql import ENVIRONMENT, Vector, foreign, of_workers, series
from devops.monitoring.dashboard.style import SOURCE
from otel_celery import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WHEN = {"useValueForTime": True}
"""The value is the time, in milliseconds."""

KNOWN_FOR, SETTLED = "15m", "1m"
"""A version is new that no worker of the pool had within so long before: pools that restart come back sooner."""

STARTS = 50
"""How many of the last starts of workers are drawn: of a thousand workers nobody could read them all."""


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
    """Make the three."""
    return [
        EventQuery(
            "Alerts",
            "red",
            alerts("ALERTS", 'alertstate="firing"').by("max", "alertname", "severity"),
            {"titleFormat": "{{alertname}}", "textFormat": "{{severity}}", "tagKeys": "severity"},
        ),
        EventQuery(
            "Deploys",
            "blue",
            _deploys(),
            {"titleFormat": "{{pool}}: {{version}}", "textFormat": "for the first time", "tagKeys": "pool"},
        ),
        EventQuery(
            "Worker restarts",
            "purple",
            _starts(),
            {"titleFormat": "{{worker}} started", "textFormat": "{{instance}}", "tagKeys": "pool", **WHEN},
        ),
    ]


def _deploys() -> Vector:
    """Tell which versions a pool's workers have that none of them had a while ago; what stayed is not told."""
    return Vector(" or ".join(_changes()), frozenset(("pool", "version")))


def _changes() -> Iterator[str]:
    info, target = series(catalogue.WORKER_INFO), foreign("target_info", 'service_version!=""', 'pool=~"$pool"')
    for of_what, label, vector in (
        ("the app", "service_version", target),
        ("Celery", "celery_version", info),
        ("otel-celery", "otel_celery_version", info),
    ):
        labels = ("job", "pool", ENVIRONMENT, label)
        now = vector.by("count", *labels)
        ago = f"count by ({', '.join(labels)}) (last_over_time({vector}[{KNOWN_FOR}] offset {SETTLED}))"
        # A pool of which nothing at all was known is a beginning of the history, and no deploy.
        known = f"count by (job, pool, {ENVIRONMENT}) (last_over_time({vector}[{KNOWN_FOR}] offset {SETTLED}))"
        new = f"{now} unless {ago} and ignoring ({label}) {known}"
        yield f'label_replace({new}, "version", "{of_what} $1", "{label}", "(.+)")'


def _starts() -> Vector:
    """Tell when workers started, of those that did within the time shown."""
    started = of_workers(foreign("process_start_time_seconds"), catalogue.WORKER_INFO)
    last = started.by("max", "pool", "worker", "instance")
    return Vector(f"topk({STARTS}, {last} * 1000 > $__from)", last.labels)
