"""Publishers: web processes, scripts, beat, and workers whose tasks publish others."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import quantile, series
from devops.monitoring.dashboard.style import HIGHEST, RATE, SECONDS, Query, lines, ranked
from otel_celery import catalogue

TITLE = "Publishers"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
NOBODY = "No publisher with otel-celery has been scraped"


def panels() -> list[Any]:
    """Make the row's panels."""
    duration = catalogue.PUBLISH_DURATION
    return [
        ranked(
            lines(
                "Published",
                f"Messages that publishers with otel-celery sent, by task. {HIGHEST}",
                Query(series(catalogue.PUBLISHED).per_second().total("task_name").leading(), "{{task_name}}"),
                unit=RATE,
                nothing=NOBODY,
            )
        )
        .data_links([links.page("task")])
        .span(8),
        lines(
            "Publish Failures",
            f"Messages that kombu could not publish for all its retries: by task, and the exception's class. {HIGHEST}",
            Query(
                series(catalogue.PUBLISH_FAILURES).per_second().total("task_name", "exception").leading(),
                "{{task_name}} {{exception}}",
            ),
            unit=RATE,
            nothing="None has failed, or no publisher is scraped",
        )
        .data_links([links.page("task")])
        .links(links.runbook("CeleryPublishFailures"))
        .span(8),
        lines(
            "Publish Duration",
            "How long publishing a message holds its publisher up, over all tasks: kombu's retries are in it.",
            *(Query(quantile(fraction, duration), name) for name, fraction in QUANTILES.items()),
            unit=SECONDS,
            nothing=NOBODY,
        ).span(8),
    ]
