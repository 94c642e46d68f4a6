"""Conditions of otel-celery's own figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch.model import Subject
from otel_celery.watch.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.scene import Found, Scene


def celery_labels_folded(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools with more label values than they keep apart."""
    yield from _any_of_pool("folded", "value was counted as `other`", "values were counted as `other`", alert, scene)


def otel_celery_points_dropped(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools that do not show what tasks record."""
    for subject, figure in _any_of_pool(
        "dropped", "point that tasks recorded was dropped", "points that tasks recorded were dropped", alert, scene
    ):
        if subject.detail != "torn":
            yield subject, figure


def _any_of_pool(word: str, one: str, many: str, alert: Alert, scene: Scene) -> Iterator[Found]:
    for key in scene.totals.owners(word):
        number = scene.totals.rise(key, alert.window)
        if number:
            yield Subject(pool=str(key[1]), detail=str(key[2])), plural(number, one, many)


def otel_celery_internal_errors(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find errors of our own."""
    for key in scene.totals.owners("errors"):
        number = scene.totals.rise(key, alert.window)
        if number:
            _, url, worker, where = map(str, key)
            subject = Subject(worker=worker, detail=where, url=url)
            yield subject, f"{plural(number, 'exception')} of otel-celery's own, kept from the worker"


JUDGES = (celery_labels_folded, otel_celery_points_dropped, otel_celery_internal_errors)
