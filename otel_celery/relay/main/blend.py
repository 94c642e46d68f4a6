"""Combine the children's merged metrics with the main process's own into one collection for a reader.

An instrument that both sides use becomes one metric, since a second one of its name would be a duplicate on the port.
Counts are added. Of a gauge the children's value is shown, since tasks run there. Histograms with different bucket
bounds cannot be added: the children's are left out, and counted once for each label set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_celery.adding import add
from otel_celery.lifecycle import Loss
from otel_celery.relay.wire import points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.sdk.resources import Resource

    from otel_celery.relay.main.merged import Losses, Stream

    Merged = Iterable[tuple[Stream, dict[str, Any]]]


class Blender:
    """Adds merged streams to collections."""

    def __init__(self, label_length: int, lost: Losses) -> None:
        """``label_length`` is the children's limit for label values; ``lost`` counts points that are left out."""
        self._length = label_length
        self._lost = lost
        self._left_out: set[tuple[points.Scope, str, str]] = set()
        self._scopes: dict[points.Scope, InstrumentationScope] = {}

    def __call__(
        self, data: MetricsData | None, merged: Merged, resource: Resource, is_delta: Callable[[str], bool]
    ) -> MetricsData | None:
        """Return the collection with the merged streams added; None if there are no metrics at all."""
        scopes = list(data.resource_metrics[0].scope_metrics) if data is not None and data.resource_metrics else []
        for stream, made in merged:
            held = self._held(scopes, self._scope(stream.scope))
            self._put(held, stream, made, is_delta)
        if not scopes:
            return data
        return MetricsData([ResourceMetrics(resource, scopes, resource.schema_url)])

    def _scope(self, plain: points.Scope) -> InstrumentationScope:
        if plain not in self._scopes:
            name, version, schema_url, labels = plain
            self._scopes[plain] = InstrumentationScope(name, version, schema_url, dict(labels) or None)
        return self._scopes[plain]

    @staticmethod
    def _held(scopes: list[ScopeMetrics], scope: InstrumentationScope) -> list[Metric]:
        """Return a scope's metrics in a collection, after adding an empty list if it has none."""
        for held in scopes:
            if held.scope == scope:
                return cast("list[Metric]", held.metrics)  # made for this collection
        made: list[Metric] = []
        scopes.append(ScopeMetrics(scope, made, scope.schema_url or ""))
        return made

    def _put(self, held: list[Metric], stream: Stream, made: dict[str, Any], is_delta: Callable[[str], bool]) -> None:
        for index, metric in enumerate(held):
            if metric.name == stream.name and (metric.unit or "") == stream.unit and _is_alike(metric.data, stream):
                data: Any = metric.data
                both = [self._join(point, stream, made) for point in data.data_points]
                held[index] = replace(metric, data=replace(data, data_points=[*both, *made.values()]))
                return
        shown = _data(stream.kind, list(made.values()), is_delta=is_delta(stream.kind))
        held.append(Metric(stream.name, stream.description, stream.unit, shown))

    def _join(self, mine: Any, stream: Stream, made: dict[str, Any]) -> Any:
        """Add to a point of the main process the children's of the same labels, which is removed from ``made``."""
        try:
            key = repr(points.labels(mine.attributes, self._length))
        except Exception:  # noqa: BLE001  an object of the application's raised, and the children have no such series
            return mine
        theirs = made.pop(key, None)
        if theirs is None:
            return mine
        try:
            joined = _joined(mine, theirs)
        except Exception:  # noqa: BLE001  the same, or an integer is too large for a float
            joined, why = None, Loss.VALUE
        else:
            why = Loss.MISMATCH
        if joined is None:
            self._leave_out(why, (stream.scope, stream.name, key))
        return mine if joined is None else joined

    def _leave_out(self, why: Loss, series: tuple[points.Scope, str, str]) -> None:
        """Count a series once, not at each collection."""
        if series not in self._left_out:
            self._left_out.add(series)
            self._lost(why, name=series[1])


def _is_alike(data: Any, stream: Stream) -> bool:
    if isinstance(data, Sum):
        kinds = {points.COUNTER} if data.is_monotonic else {points.UP_DOWN, points.LEVEL}
        return stream.kind in kinds
    return (isinstance(data, Gauge) and stream.kind == points.GAUGE) or (
        isinstance(data, Histogram) and stream.kind == points.HISTOGRAM
    )


def _joined(mine: Any, theirs: Any) -> Any:
    """Add two points; None if they cannot be added, for example because their bucket bounds differ."""
    if isinstance(mine, NumberDataPoint) and mine.start_time_unix_nano is None:
        return theirs  # a gauge has no start
    return add(mine, theirs)


def _data(kind: str, made: list[Any], *, is_delta: bool) -> Any:
    temporality = AggregationTemporality.DELTA if is_delta else AggregationTemporality.CUMULATIVE
    if kind == points.GAUGE:
        return Gauge(made)
    if kind == points.HISTOGRAM:
        return Histogram(made, temporality)
    return Sum(made, temporality, is_monotonic=kind == points.COUNTER)
