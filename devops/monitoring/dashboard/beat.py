"""Beat: whether it ticks, what it sends, and how late."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, quantile, series
from devops.monitoring.dashboard.style import (
    COUNT,
    GREEN,
    ORANGE,
    RATE,
    RED,
    SECONDS,
    Query,
    coloured,
    figures,
    lines,
    ranked,
)
from otel_celery import catalogue

TITLE = "Beat"
NOBODY = "No beat has been scraped"
LONGEST_SLEEP, STOPPED = 300, 420
"""Seconds between two ticks: as many as beat sleeps by default, and as many as CeleryBeatStopped allows."""


def panels() -> list[Any]:
    """Make the row's panels."""
    return [*_ticks(), *_sends()]


def _ticks() -> list[Any]:
    ticked = series(catalogue.BEAT_LAST_TICK).by("max", "instance")
    since = coloured(
        figures(
            "Since the Last Tick",
            "How long ago beat looked at its schedule. It sleeps in between, by default for up to five minutes.",
            Query(Vector(f"time() - {ticked}", ticked.labels).top(), "{{instance}}"),
            unit=SECONDS,
            nothing=NOBODY,
        ),
        GREEN,
        (LONGEST_SLEEP, ORANGE),
        (STOPPED, RED),
    )
    return [
        since.links(links.runbook("CeleryBeatStopped")).span(4),
        figures(
            "Entries",
            "Entries of the schedule, as beat has read it.",
            Query(series(catalogue.BEAT_ENTRIES).by("max", "instance").top(), "{{instance}}"),
            unit=COUNT,
            nothing=NOBODY,
        ).span(4),
    ]


def _sends() -> list[Any]:
    return [
        ranked(
            lines(
                "Sent by Beat",
                "Tasks that beat sent because they were due.",
                Query(series(catalogue.BEAT_SENT).per_second().total("task_name").leading(), "{{task_name}}"),
                unit=RATE,
                nothing=NOBODY,
            )
        ).span(8),
        lines(
            "Lag of Beat (p99)",
            "From when an entry was due to when beat had sent its task.",
            Query(quantile(0.99, catalogue.BEAT_LAG, "task_name").leading(), "{{task_name}}"),
            unit=SECONDS,
            nothing="Beat has sent nothing yet",
        )
        .links(links.runbook("CeleryBeatEntryLate"))
        .span(4),
        lines(
            "Beat's Failures",
            "Attempts to send a due task that failed; those to reach the broker for it are counted too.",
            Query(series(catalogue.BEAT_FAILURES).per_second().total("task_name").leading(), "{{task_name}}"),
            unit=RATE,
            nothing=NOBODY,
        )
        .links(links.runbook("CeleryPublishFailures", "CeleryBeatStopped"))
        .span(4),
    ]
