"""Print the catalogue for users: exported names, and the reference table as text, Markdown or JSON."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING

from otel_celery.catalogue import METRICS, Kind
from otel_celery.record.naming import metric_name, unit_word

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric


def exported_name(metric: Metric) -> str:
    """Return a metric's name in Prometheus, with its unit and, for counters, ``_total``."""
    parts = [metric_name(metric.name), unit_word(metric.unit), "total" if metric.kind is Kind.COUNTER else ""]
    return "_".join(part for part in parts if part)


def text() -> str:
    """Format the catalogue for a terminal."""
    width = max(len(exported_name(metric)) for metric in METRICS)
    return "\n".join(
        f"{exported_name(metric):<{width}}  {metric.kind.value:<9}  {', '.join(metric.attributes) or 'none'}\n"
        f"{'':<{width}}  {metric.description}"
        for metric in METRICS
    )


def markdown() -> str:
    """Format the catalogue as the table of docs/metrics.md, the documented metrics in bold."""
    rows = [
        f"| {'**' * metric.documented}`{exported_name(metric)}`{'**' * metric.documented} | {metric.kind.value} | "
        f"{', '.join(metric.attributes) or 'none'} | {metric.description} |"
        for metric in METRICS
    ]
    return "\n".join(["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |", *rows])


def json() -> str:
    """Format the catalogue for programs: one object a metric, with its OpenTelemetry and its exported name."""
    return jsonlib.dumps(
        [
            {
                "name": exported_name(metric),
                "instrument": metric.name,
                "kind": metric.kind.value,
                "unit": metric.unit,
                "labels": list(metric.attributes),
                "documented": metric.documented,
                "description": metric.description,
            }
            for metric in METRICS
        ],
        indent=2,
    )
