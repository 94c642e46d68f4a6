"""Clean the metrics that others record with the provider that we export: one bad value would fail a port or a push.

A lone surrogate in a label fails each later scrape, and each later push. Two instruments of one name are duplicates on
the port, which shows no scopes, and Prometheus may refuse the whole scrape. So values are cleaned and cut as our own
are, series of one name and kind are merged, and a name belongs to the first family that uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_celery import catalogue
from otel_celery.adding import united
from otel_celery.lifecycle import Loss
from otel_celery.record import outgoing
from otel_celery.record.port_names import Names, family_of
from otel_celery.record.producers import metrics_of
from otel_celery.record.refusals import EXPONENTIAL
from otel_celery.record.series import SeriesBook
from otel_celery.record.tidy import Tidier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otel_celery.record.port_names import Family
    from otel_celery.record.refusals import Refusals

OURS = frozenset(metric.name for metric in catalogue.METRICS)


@dataclass(frozen=True, slots=True)
class _Home:
    """The first metric with a family's name, and the family's points from all scopes."""

    scope: str
    metric: Metric
    points: list[Any]


class ForeignMetrics:
    """Cleans each collection; for one reader, and for one collection at a time."""

    def __init__(self, ours: InstrumentationScope, label_length: int, refused: Refusals) -> None:
        """``ours`` is our own scope; ``refused`` counts points that cannot be shown or sent."""
        self._ours = ours
        self._refused = refused
        self._tidied = Tidier(label_length, refused, self._is_ours)
        self._series = SeriesBook(label_length)
        self._names = Names()

    def tidy(self, data: MetricsData) -> MetricsData:
        """Clean a collection for a push, and add up the series that are the same then."""
        data = self._tidied(data)
        for scope, metrics in _scopes(data):
            for index, metric in enumerate(metrics):
                if not self._is_ours(scope, metric.name):
                    metrics[index] = self._united(metric, scope.name)
        return data

    def leave_out(self, metric: Metric, scope: str) -> None:
        """Count and log an exponential histogram, which the port cannot show."""
        scope, name = outgoing.text(scope), outgoing.text(metric.name)
        for point in metric.data.data_points:
            self._refused.count(Loss.UNSUPPORTED, scope, name, self._tidied.series(point))
        self._refused.warn(scope, name, EXPONENTIAL)

    def flatten(self, data: MetricsData) -> MetricsData:
        """Clean a collection for the port: one family for each name over all scopes, with its series as shown there."""
        data = self._tidied(data)
        homes: dict[Family, _Home] = {}
        for scope, metrics in _scopes(data):
            metrics[:] = [metric for metric in metrics if self._stays(metric, scope, homes)]
        shown = {id(home.metric): self._furnished(kind, home) for (kind, _), home in homes.items()}
        for _, metrics in _scopes(data):
            metrics[:] = [made for metric in metrics if (made := shown.get(id(metric), metric)) is not None]
        return data

    def _stays(self, metric: Metric, scope: InstrumentationScope, homes: dict[Family, _Home]) -> bool:
        """Tell whether a metric stays in its place: our own do, and the first one of each family."""
        if self._is_ours(scope, metric.name):
            return True
        family = self._admitted(metric, scope.name)
        if family is None:
            return False
        home = homes.setdefault(family, _Home(scope.name, metric, []))
        home.points.extend(metric.data.data_points)
        return home.metric is metric

    def _furnished(self, kind: str, home: _Home) -> Metric | None:
        """Return a family with all its series, or None if it has none; count the series that cannot be shown."""
        lost = partial(self._refused, scope=home.scope, name=home.metric.name)
        try:
            points = self._series.united(kind, home.points, lambda reason, series: lost(reason, series=series))
        except Exception:  # noqa: BLE001  any error costs this family alone
            lost(Loss.VALUE, number=len(home.points))
            return None
        return _with(home.metric, points) if points else None

    def _united(self, metric: Metric, scope: str) -> Metric:
        """Add up the series of a metric that are the same; a sum that exceeds 64 bits is cleaned once more."""
        points = metric.data.data_points
        single = united(points, map(self._tidied.key, points), partial(self._mismatched, scope, metric.name))
        if len(single) < len(points):
            single = [fit for point in single if (fit := self._tidied.fit(point, scope, metric.name)) is not None]
        return _with(metric, single)

    def _mismatched(self, scope: str, name: str, point: Any) -> None:
        self._refused(Loss.MISMATCH, scope, name, self._tidied.key(point))

    def _is_ours(self, scope: InstrumentationScope, name: str) -> bool:
        """Tell whether a metric is our own and needs no cleaning; others may use our meter's name, or our metrics'."""
        return name in OURS and (scope.name, scope.version) == (self._ours.name, self._ours.version)

    def _admitted(self, metric: Metric, scope: str) -> Family | None:
        """Return a metric's family; None if its name belongs to another kind, or to us."""
        family = family_of(metric)
        if family is None:
            return None
        reason = self._names.admit(family)
        if reason is not None:
            self._refused(reason, scope, metric.name, number=len(metric.data.data_points))
            return None
        return family


def _scopes(data: MetricsData) -> Iterator[tuple[InstrumentationScope, list[Metric]]]:
    """Yield each scope with its metrics, in lists that were made for this collection."""
    for resource_metrics in data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            yield scope_metrics.scope, metrics_of(scope_metrics)


def _with(metric: Metric, points: Sequence[Any]) -> Metric:
    data: Any = metric.data
    return replace(metric, data=replace(data, data_points=points))
