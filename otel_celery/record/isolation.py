"""Push a collection of which the exporter cannot encode some points: these are left out and logged, the rest arrives.

An exporter raises for the whole collection if it cannot encode one value. Then each half of it is exported, and each
half of a half that fails, until the point is found. At the next push the point's metric is exported by itself.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from otel_celery.lifecycle import Loss

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricExporter, ResourceMetrics, ScopeMetrics

    from otel_celery.record.refusals import Refusals

MAX_EXPORTS = 200
"""Exports tried for one push, at most; enough to find a dozen bad points among ten thousand."""


class _Held(NamedTuple):
    """A metric, or some of its points, with its scope and resource."""

    resource: ResourceMetrics
    scope: ScopeMetrics
    metric: Metric

    @property
    def name(self) -> tuple[str, str]:
        return self.scope.scope.name, self.metric.name


class _Push:
    """The exports of one push, and their results."""

    def __init__(self, exporter: MetricExporter, seconds: float) -> None:
        self._exporter = exporter
        self._milliseconds = seconds * 1000
        self._until = time.monotonic() + seconds
        self._left = MAX_EXPORTS
        self.failed = self.arrived = False
        self.found: list[_Held] = []
        self.error: Exception | None = None

    def send(self, parts: Sequence[_Held]) -> None:
        """Export these parts; if the exporter raises, export their halves. Raises OSError if the network fails."""
        if not parts:
            return
        try:
            result = self._exporter.export(_data(parts), timeout_millis=self._milliseconds)
        except OSError:
            raise  # the network, not the encoding
        except Exception as error:  # noqa: BLE001  each exporter has its own error for a value that it cannot encode
            self.error = self.error or error
            self._part(parts)
        else:
            self.failed |= result is not MetricExportResult.SUCCESS
            self.arrived = True

    def _part(self, parts: Sequence[_Held]) -> None:
        halves = _halves(parts)
        if not halves:
            self.found.extend(parts)
        for half in halves:
            self._left -= 1
            if self._left < 0 or time.monotonic() > self._until:
                self.failed = True
                return
            self.send(half)


class Isolation:
    """Exports one exporter's collections, and remembers which metrics it could not encode."""

    def __init__(self, exporter: MetricExporter, refused: Refusals) -> None:
        """``refused`` counts points that were left out."""
        self._exporter = exporter
        self._refused = refused
        self._suspects: set[tuple[str, str]] = set()

    def export(self, data: MetricsData, seconds: float) -> MetricExportResult:
        """Export every point that can be encoded; each single export may take so many ``seconds``.

        Raises the exporter's error if no export succeeds.
        """
        parts = list(_held(data))
        push = _Push(self._exporter, seconds)
        push.send([part for part in parts if part.name not in self._suspects])
        for part in parts:
            if part.name in self._suspects:
                push.send([part])
        if push.error is not None and not push.arrived:
            raise push.error
        for part in push.found:
            for point in part.metric.data.data_points:  # one, or none
                self._refused(Loss.UNSUPPORTED, *part.name, str(point.attributes))
        self._suspects = {part.name for part in push.found}
        return MetricExportResult.FAILURE if push.failed else MetricExportResult.SUCCESS


def _held(data: MetricsData) -> Iterable[_Held]:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield _Held(resource, scope, metric)


def _data(parts: Sequence[_Held]) -> MetricsData:
    """Put parts together as one collection again; their resources and scopes are few, and in order."""
    resources: dict[int, tuple[ResourceMetrics, dict[int, tuple[ScopeMetrics, list[Metric]]]]] = {}
    for resource, scope, metric in parts:
        _, scopes = resources.setdefault(id(resource), (resource, {}))
        scopes.setdefault(id(scope), (scope, []))[1].append(metric)
    return MetricsData(
        [
            replace(resource, scope_metrics=[replace(scope, metrics=metrics) for scope, metrics in scopes.values()])
            for resource, scopes in resources.values()
        ]
    )


def _halves(parts: Sequence[_Held]) -> list[Sequence[_Held]]:
    """Halve the parts, or the points of the only part; a single point has no halves."""
    if len(parts) > 1:
        middle = len(parts) // 2
        return [parts[:middle], parts[middle:]]
    (part,) = parts
    data: Any = part.metric.data
    middle = len(data.data_points) // 2
    halves = [data.data_points[:middle], data.data_points[middle:]]
    return [
        [part._replace(metric=replace(part.metric, data=replace(data, data_points=half)))] for half in halves if middle
    ]
