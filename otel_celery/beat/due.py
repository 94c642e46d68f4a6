"""When an entry was due, by its own schedule.

A schedule tells the time that remains until its next run after the last one, and the entry is due once nothing
remains. So its lag is what remains, with the sign turned: this is what ``is_due`` itself asks, in every schedule of
Celery's, in its time zone and over its changes of the clock. It has no side effects, unlike the ``is_due`` of some
entries, which switch a one-off task off.

Several runs that were missed are one run to Celery. The lag is then counted from the first of them.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

DJANGO = "django_celery_beat.schedulers"
"""The module of django-celery-beat's entries, which read a time without a zone in another way than Celery's."""


def lag(entry: Any) -> float | None:
    """Return for how many seconds an entry has been due; None for one that never ran, or does not tell.

    Raises whatever the entry, or its schedule, raises.
    """
    last = entry.last_run_at
    if not issubclass(type(last), datetime):
        return None
    is_djangos = any(base.__module__ == DJANGO for base in type.mro(type(entry)))
    remaining = entry.schedule.remaining_estimate(_in_zone_of(entry.schedule, last) if is_djangos else last)
    if not issubclass(type(remaining), timedelta):
        return None
    late = -timedelta.total_seconds(remaining)
    if is_djangos:
        late = min(late, _since_start(entry.model))
    return max(0.0, late)


def _in_zone_of(schedule: Any, last: datetime) -> datetime:
    """Convert a time as django-celery-beat does before it asks the schedule: one without a zone is in UTC."""
    aware = last if last.tzinfo is not None else last.replace(tzinfo=timezone.utc)
    return aware.astimezone(schedule.tz)


def _since_start(model: Any) -> float:
    """Return the seconds since an entry's ``start_time``; a new entry is said to have run 30 years before that."""
    start = model.start_time
    if not issubclass(type(start), datetime):
        return math.inf
    now = datetime.now(timezone.utc)
    if start.tzinfo is None:  # where Django is told to use no zones
        now = datetime.now()  # noqa: DTZ005  the same
    return timedelta.total_seconds(now - start)
