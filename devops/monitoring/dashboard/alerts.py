"""Our alerts, as Prometheus holds them: those of alerts.yml by their names, however alike another team's may sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from devops.monitoring.dashboard.promql import either

if TYPE_CHECKING:
    from devops.monitoring.dashboard.promql import Vector

NAMES = tuple(re.findall(r"(?m)^ +- alert: (\w+)$", (Path(__file__).parents[1] / "alerts.yml").read_text("utf-8")))
"""In the file's order."""

BESIDE = (
    "CelerySeriesDropped",
    "PostgresDown",
    "PostgresExporterDown",
    "PrometheusRulesFailing",
    "RedisDown",
    "RedisExporterDown",
)
"""Those about what stands beside the workers, in jobs that no variable chooses."""

BESIDE_JOBS = "redis|postgres|prometheus"
"""The jobs that these are about: others may have alerts of such names too."""


def alerts(name: str, *matchers: str) -> Vector:
    """Select ``ALERTS`` or ``ALERTS_FOR_STATE``: our own, about what is chosen or about no job at all."""
    workers = [one for one in NAMES if one not in BESIDE]
    return either(
        name,
        (f'alertname=~"{"|".join(workers)}"', 'job=~"$job|"', *matchers),
        (f'alertname=~"{"|".join(BESIDE)}"', f'job=~"{BESIDE_JOBS}|"', *matchers),
    )
