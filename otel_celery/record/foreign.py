"""What others record with the provider that we export: made fit for a port, or a push, that one bad value would break.

A lone surrogate in a label fails each later scrape, and each later push. Two instruments of one name are duplicates on
the port, where scopes are not shown, and Prometheus may refuse the whole scrape. So values are cleaned and cut as our
own are, series of one name and kind are put together, and a name that is taken is not given away again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_celery import catalogue
from otel_celery.adding import united
from otel_celery.lifecycle import Loss
from otel_celery.record import outgoing
from otel_celery.record.names import Names, family_of
from otel_celery.record.producers import metrics_of
from otel_celery.record.refusals import EXPONENTIAL
from otel_celery.record.series import SeriesBook
from otel_celery.record.tidy import Tidier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otel_celery.record.names import Family
    from otel_celery.record.refusals import Refusals

OURS = frozenset(metric.name for metric in catalogue.METRICS)


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a family of the port stands: with the first metric that has its name."""

    scope: str
    metric: Metric
    points: list[Any]


class ForeignMetrics:
    """Looks through each collection; for one reader, and for one collection at a time."""

    def __init__(self, ours: InstrumentationScope, label_length: int, refused: Refusals) -> None:
        """``ours`` is our own scope; ``refused`` hears of points that cannot be shown or sent."""
        self._ours = ours
        self._refused = refused
        self._tidied = Tidier(label_length, refused, self._is_ours)
        self._series = SeriesBook(label_length)
        self._names = Names()

    def tidy(self, data: MetricsData) -> MetricsData:
        """Make all plain, and add up the series that are the same then."""
        data = self._tidied(data)
        for scope, metrics in _scopes(data):
            for index, metric in enumerate(metrics):
                if not self._is_ours(scope, metric.name):
                    metrics[index] = self._united(metric, scope.name)
        return data

    def leave_out(self, metric: Metric, scope: str) -> None:
        """Count and name an exponential histogram, which the port cannot show."""
        scope, name = outgoing.text(scope), outgoing.text(metric.name)
        for point in metric.data.data_points:
            self._refused.count(Loss.UNSUPPORTED, scope, name, self._tidied.series(point))
        self._refused.warn(scope, name, EXPONENTIAL)

    def flatten(self, data: MetricsData) -> MetricsData:
        """Leave one family for each name, whatever scopes they come from, and its series as the port shows them."""
        data = self._tidied(data)
        homes: dict[Family, _Home] = {}
        for scope, metrics in _scopes(data):
            metrics[:] = [metric for metric in metrics if self._stays(metric, scope, homes)]
        shown = {id(home.metric): self._furnished(kind, home) for (kind, _), home in homes.items()}
        for _, metrics in _scopes(data):
            metrics[:] = [made for metric in metrics if (made := shown.get(id(metric), metric)) is not None]
        return data

    def _stays(self, metric: Metric, scope: InstrumentationScope, homes: dict[Family, _Home]) -> bool:
        """Tell whether a metric stays where it is: our own do, and the first of each family."""
        if self._is_ours(scope, metric.name):
            return True
        family = self._admitted(metric, scope.name)
        if family is None:
            return False
        home = homes.setdefault(family, _Home(scope.name, metric, []))
        home.points.extend(metric.data.data_points)
        return home.metric is metric

    def _furnished(self, kind: str, home: _Home) -> Metric | None:
        """Give a family with all its series; those that cannot be shown are counted, and None is a family without."""
        lost = partial(self._refused, scope=home.scope, name=home.metric.name)
        try:
            points = self._series.united(kind, home.points, lambda reason, series: lost(reason, series=series))
        except Exception:  # noqa: BLE001  whatever it is, it costs this family alone
            lost(Loss.VALUE, number=len(home.points))
            return None
        return _with(home.metric, points) if points else None

    def _united(self, metric: Metric, scope: str) -> Metric:
        """Add up the series of a metric that are the same; two numbers of 64 bits may be a wider one then."""
        points = metric.data.data_points
        single = united(points, map(self._tidied.key, points), partial(self._mismatched, scope, metric.name))
        if len(single) < len(points):
            single = [fit for point in single if (fit := self._tidied.fit(point, scope, metric.name)) is not None]
        return _with(metric, single)

    def _mismatched(self, scope: str, name: str, point: Any) -> None:
        self._refused(Loss.MISMATCH, scope, name, self._tidied.key(point))

    def _is_ours(self, scope: InstrumentationScope, name: str) -> bool:
        """Tell whether a metric needs no cleaning; others may call their meters, or their metrics, as we do."""
        return name in OURS and (scope.name, scope.version) == (self._ours.name, self._ours.version)

    def _admitted(self, metric: Metric, scope: str) -> Family | None:
        """Give a metric's family; None for one whose name is taken by another kind, or by us."""
        family = family_of(metric)
        if family is None:
            return None
        reason = self._names.admit(family)
        if reason is not None:
            self._refused(reason, scope, metric.name, number=len(metric.data.data_points))
            return None
        return family


def _scopes(data: MetricsData) -> Iterator[tuple[InstrumentationScope, list[Metric]]]:
    """List the scopes with their metrics, as lists that were made for this collection."""
    for resource_metrics in data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            yield scope_metrics.scope, metrics_of(scope_metrics)


def _with(metric: Metric, points: Sequence[Any]) -> Metric:
    data: Any = metric.data
    return replace(metric, data=replace(data, data_points=points))
