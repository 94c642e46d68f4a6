"""An observer that writes down what it is told, and schedulers and entries of users' own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from celery import Celery

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.lifecycle import Where

NOW = datetime(2026, 3, 29, 12, 0, tzinfo=timezone.utc)


class Ears:
    """Hears what beat does."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.heard: list[tuple[Any, ...]] = []
        self.lags: list[float | None] = []
        self.errors: list[Exception] = []

    def expect(self, names: Iterable[str]) -> None:
        """Hear of the tasks of a schedule."""
        self.heard.append(("expect", sorted(names)))

    def sent(self, name: str, lag: float | None) -> None:
        """Hear of a task that was sent."""
        self.heard.append(("sent", name))
        self.lags.append(lag)

    def failed(self, name: str) -> None:
        """Hear of an attempt that failed."""
        self.heard.append(("failed", name))

    def swallowed(self, where: Where, error: Exception) -> None:
        """Hear of an error of ours."""
        assert where.value == "beat"
        self.errors.append(error)


def make_app(**conf: Any) -> Celery:
    """Make an app whose broker is in memory, with its clock in UTC."""
    app = Celery("beaten", broker="memory://", set_as_current=False)
    app.conf.update({"beat_schedule": {"often": {"task": "proj.often", "schedule": 0.0}}, **conf})
    return app


def ago(**delta: float) -> datetime:
    """Return a time before now."""
    return datetime.now(timezone.utc) - timedelta(**delta)
