"""Make a collection plain, so that every exporter can encode it; a value that cannot be made so costs its own point."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_celery.lifecycle import Loss
from otel_celery.record import outgoing
from otel_celery.record.refusals import TOO_WIDE
from otel_celery.record.resource import ResourceCleaner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import Metric

    from otel_celery.record.refusals import Refusals

    IsOurs = Callable[[InstrumentationScope, str], bool]

MAX_REMEMBERED = 100_000
"""Label sets that are cached, at most; an application's own may come and go."""

MAX_UNIT = 63


class Tidier:
    """Cleans resources, scopes, texts, labels and numbers; our own metrics are clean already."""

    def __init__(self, label_length: int, refused: Refusals, is_ours: IsOurs) -> None:
        """Cut label values to ``label_length`` characters; ``is_ours`` is called with a metric's scope and name."""
        self._length = label_length
        self._refused = refused
        self._is_ours = is_ours
        # An entry keeps its object alive, so that no other object can take its id, which is the key.
        self._labels: dict[int, tuple[object, Mapping[str, Any], str]] = {}
        self._scopes: dict[int, tuple[object, InstrumentationScope]] = {}
        self._clean_resource = ResourceCleaner()

    def __call__(self, data: MetricsData) -> MetricsData:
        """Return a clean copy of a collection, with lists that may be changed."""
        for known in (self._labels, self._scopes):
            if len(known) > MAX_REMEMBERED:
                known.clear()
        return MetricsData([self._of_resource(held) for held in data.resource_metrics])

    def key(self, point: Any) -> str:
        """Return a key for a clean point's series, unique within its metric."""
        return self._known(point.attributes)[2]

    def series(self, point: Any) -> str:
        """Return a key for any point's series, unique within its metric; empty if its labels cannot be cleaned."""
        with contextlib.suppress(Exception):  # its labels may be the part that cannot be cleaned
            return self.key(point)
        return ""

    def fit(self, point: Any, scope: str, name: str) -> Any:
        """Clean a point; return None, and count it, if it cannot be cleaned."""
        try:
            fit, is_wide = self._cleaned(point)
        except Exception:  # noqa: BLE001  a user's class may raise anything
            self._refused(Loss.VALUE, scope, name, self.series(point))
            return None
        if is_wide:
            self._refused.warn(scope, name, TOO_WIDE)
        return fit

    def _of_resource(self, held: ResourceMetrics) -> ResourceMetrics:
        scopes: dict[InstrumentationScope, list[Metric]] = {}
        for scope_metrics in held.scope_metrics:
            scope = self._scope(scope_metrics.scope)
            # Scopes that are equal once cleaned are put together: OTLP's encoder keeps only one of them.
            scopes.setdefault(scope, []).extend(self._metrics(scope, scope_metrics.metrics))
        resource = self._clean_resource(held.resource)
        made = [ScopeMetrics(scope, metrics, scope.schema_url or "") for scope, metrics in scopes.items()]
        return ResourceMetrics(resource, made, resource.schema_url)

    def _scope(self, scope: InstrumentationScope) -> InstrumentationScope:
        kept = self._scopes.get(id(scope))
        if kept is None:
            version = None if scope.version is None else outgoing.text(scope.version)
            name, schema = outgoing.text(scope.name), outgoing.text(scope.schema_url)
            kept = scope, InstrumentationScope(name, version, schema, self._fit_labels(scope.attributes))
            self._scopes[id(scope)] = kept
        return kept[1]

    def _fit_labels(self, attributes: Any) -> dict[str, Any]:
        try:
            return dict(outgoing.labels(attributes or {}, self._length))
        except Exception:  # noqa: BLE001  a user's class may raise anything
            return {}

    def _metrics(self, scope: InstrumentationScope, metrics: Sequence[Metric]) -> Iterable[Metric]:
        for metric in metrics:
            name = outgoing.text(metric.name)
            if self._is_ours(scope, name):
                yield metric
                continue
            points = [
                fit for point in metric.data.data_points if (fit := self.fit(point, scope.name, name)) is not None
            ]
            if points:
                unit, description = outgoing.text(metric.unit, MAX_UNIT), outgoing.text(metric.description)
                data: Any = metric.data
                yield replace(
                    metric, name=name, unit=unit, description=description, data=replace(data, data_points=points)
                )

    def _cleaned(self, point: Any) -> tuple[Any, bool]:
        """Clean a point, and tell whether a number of it was too wide for 64 bits."""
        changes: dict[str, Any] = {}
        is_wide = False
        labels = self._known(point.attributes)[1]
        if labels is not point.attributes:
            changes["attributes"] = labels
        for field in ("value",) if isinstance(point, NumberDataPoint) else ("sum", "min", "max"):
            given = getattr(point, field)
            if type(given) is float:
                continue
            made = self._number(given, is_needed=field in {"value", "sum"})
            if made is not given:
                changes[field] = made
                is_wide |= type(given) is int
        if point.exemplars:
            changes["exemplars"] = [fit for each in point.exemplars if (fit := self._exemplar(each)) is not None]
        return (replace(point, **changes) if changes else point), is_wide

    @staticmethod
    def _number(given: Any, *, is_needed: bool) -> float | None:
        made = outgoing.number(given)
        if made is None and is_needed:
            raise ValueError("no number")
        return made

    def _exemplar(self, exemplar: Any) -> Any:
        value = outgoing.number(exemplar.value)
        if value is None:
            return None
        return replace(exemplar, value=value, filtered_attributes=self._fit_labels(exemplar.filtered_attributes))

    def _known(self, attributes: Mapping[str, Any] | None) -> tuple[object, Mapping[str, Any], str]:
        kept = self._labels.get(id(attributes))
        if kept is None:
            given = attributes or {}
            made = outgoing.labels(given, self._length)
            is_same = attributes is not None and all(
                type(key) is str and made.get(key) is value for key, value in given.items()
            )
            kept = (attributes, given if is_same else made, repr(sorted(made.items(), key=_first)))
            self._labels[id(attributes)] = kept
        return kept


def _first(pair: tuple[str, object]) -> str:
    return pair[0]
