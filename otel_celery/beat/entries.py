"""The entries of a schedule: how many there are, and the names of their tasks.

``scheduler.schedule`` may be a query: to django-celery-beat's database, or to redbeat's Redis. So it is not asked.
Celery's own ``tick`` keeps a copy of what it has read in ``old_schedulers``, which is made anew when the schedule has
changed. RedBeat's ``tick`` reads only what is due, and Redis is asked for the number, once a minute.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_celery.lifecycle import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REDBEAT = "redbeat.schedulers"
"""The module of RedBeat's scheduler."""

ASK_SECONDS = 60.0
"""How often RedBeat's Redis is asked for the number of entries."""


class Entries:
    """The entries of one scheduler's schedule, as its last tick has read them."""

    def __init__(self, expect: Callable[[Iterable[str]], None]) -> None:
        """``expect`` gets the names of all tasks whenever the schedule has changed."""
        self._expect = expect
        self._read: Any = None
        self._number: int | None = None
        self._asked_at: float | None = None

    def count(self, scheduler: Any) -> int | None:
        """Return the number of entries after a tick; None where the scheduler does not say."""
        read = getattr(scheduler, "old_schedulers", None)
        if read is None and is_redbeat(scheduler):
            return self._asked(scheduler)
        if read is not self._read and isinstance(read, Mapping):
            self._read, self._number = read, len(read)
            self._expect([task_name(entry) for entry in read.values()])
        return self._number

    def _asked(self, scheduler: Any) -> int | None:
        now = time.monotonic()
        if self._asked_at is None:
            self._expect([task_name(entry) for entry in scheduler.app.conf.beat_schedule.values()])
        if self._asked_at is None or now - self._asked_at >= ASK_SECONDS:
            self._asked_at, self._number = now, None
            with contextlib.suppress(Exception):  # Redis is away; RedBeat itself will say so
                self._number = int(_redis(scheduler.app).zcard(scheduler.app.redbeat_conf.schedule_key))
        return self._number


def is_redbeat(scheduler: Any) -> bool:
    """Tell whether a scheduler is RedBeat's, or derived from it."""
    return any(base.__module__ == REDBEAT for base in type.mro(type(scheduler)))


def task_name(entry: Any) -> str:
    """Return the name of an entry's task as a plain text; ``other`` for one that has none.

    An entry may also be the dictionary by which the configuration describes it.
    """
    try:
        name = entry["task"] if isinstance(entry, dict) else entry.task
    except Exception:  # noqa: BLE001  a user's class may raise anything
        return OTHER
    return str.__str__(name) if issubclass(type(name), str) else OTHER


def _redis(app: Any) -> Any:
    from redbeat.schedulers import get_redis  # noqa: PLC0415  it is imported already, by its user

    return get_redis(app)
