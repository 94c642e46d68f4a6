"""Conditions of beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.quantile import quantile
from otel_celery.watch.model import Subject
from otel_celery.watch.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.scene import Found, Scene


def celery_beat_stopped(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find beats that do not look at their schedule."""
    for beat in scene.beats:
        if (beat.tick or 0) > alert.limits[0]:
            figure = f"it last looked at its schedule {duration(beat.tick)} ago"
            yield Subject(pool=beat.pool, detail="beat", url=beat.url), figure


def celery_beat_entry_late(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find entries of beat's schedule that were sent late."""
    for key in sorted({key[:3] for key in scene.totals.owners("lag")}, key=str):
        latest = quantile(1, scene.totals.buckets(key, alert.window))
        if latest is not None and latest > alert.limits[0]:
            subject = Subject(task=str(key[2]), detail="beat", url=str(key[1]))
            yield subject, f"it was sent more than {duration(alert.limits[0])} after it was due"


JUDGES = (celery_beat_stopped, celery_beat_entry_late)
