"""The variables in which Celery looks for its broker, before it looks at what an app says.

A worker opens two connections: one to consume from, one to publish to. Each has a variable of its own, which Celery
prefers to the one for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BOTH = "CELERY_BROKER_URL"
CONSUMED = "CELERY_BROKER_READ_URL"
PUBLISHED = "CELERY_BROKER_WRITE_URL"
ALL = (BOTH, CONSUMED, PUBLISHED)
DEFAULT = f"[default: {CONSUMED}, else {BOTH}]"
"""Of an option that names the broker to ask."""


def consumed(environ: Mapping[str, str]) -> str | None:
    """Give the URL of the broker that an environment has workers consume from, None if it names none."""
    return environ.get(CONSUMED) or environ.get(BOTH) or None


def names_one(environ: Mapping[str, str]) -> bool:
    """Tell whether an environment names a broker, be it to consume from or to publish to alone."""
    return any(environ.get(name) for name in ALL)
