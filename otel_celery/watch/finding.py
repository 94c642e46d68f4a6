"""A finding of the doctor: one thing that is wrong, in a sentence, with what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_celery.watch.alerts import CRITICAL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from otel_celery.watch.model import Subject

WARNING = "warning"
PROMETHEUS_AWAY = "PrometheusAway"
MOST = 5
"""Names in one sentence at most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    name: str
    """The alert's name, or a name of the doctor's own."""
    severity: str
    """``critical`` or ``warning``."""
    subject: Subject
    sentence: str
    do: str
    section: str = ""
    """The runbook's, where it says more; empty if there is none."""

    @property
    def is_critical(self) -> bool:
        """Tell whether tasks are lost, or do not run."""
        return self.severity == CRITICAL


@dataclass(frozen=True, slots=True)
class Broker:
    """What the broker told when it was asked."""

    place: str
    """Its URL, without a password."""
    why: str = ""
    """Why it did not answer; empty if it did."""
    lengths: Mapping[str, int] = field(default_factory=dict)
    """How many messages wait, by queue."""


def listed(names: Collection[str]) -> str:
    """Name some of them, and say how many there are besides."""
    shown = [*names][:MOST]
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{', '.join(shown)}{more}" if names else "tasks"
