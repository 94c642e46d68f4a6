"""OpenTelemetry's data points as Prometheus families, with everything remembered that a scrape does not change.

The exporter sanitises each label of each point and prints each bucket's bound at every scrape, which takes a third of
its time, in the process that dispatches tasks. Here a series keeps its labels from one scrape to the next. Whatever is
not plain (scope or resource labels, points with different labels, other kinds of data) the exporter translates itself,
and a test holds the two to the same exposition, byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.prometheus import _CustomCollector
from opentelemetry.exporter.prometheus._mapping import map_unit, sanitize_attribute
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.metrics.export import Metric

MAX_REMEMBERED = 100_000
"""Series whose labels are kept; an application's own instruments may come and go."""


class RememberingCollector(_CustomCollector):
    """The exporter's collector, with a memory; for one scrape at a time."""

    def __init__(self, **options: Any) -> None:
        """Begin with nothing remembered; ``options`` are the exporter's own."""
        super().__init__(**options)
        # The attributes stand beside what was made of them, so that no other object can take their id.
        self._labels: dict[int, tuple[Mapping[str, Any], dict[str, str]]] = {}
        self._buckets: dict[int, tuple[object, list[dict[str, str]]]] = {}

    def _translate_metric(
        self,
        metric: Metric,
        scope_attrs: dict[str, Any],
        resource_attrs: dict[str, Any],
        metric_family_id_metric_family: dict[str, Family],
    ) -> None:
        kind, points = _kind(metric), list[Any](metric.data.data_points)
        if kind is None or scope_attrs or resource_attrs or not self._have_one_shape(points):
            super()._translate_metric(metric, scope_attrs, resource_attrs, metric_family_id_metric_family)
            return
        name, unit = self._resolve_metric_name(metric.name), map_unit(metric.unit or "")
        name = name.removesuffix("_total") if kind == "counter" else name
        key = f"{name}|{metric.description}|{unit}|{kind}"
        family = metric_family_id_metric_family.get(key)
        if family is None:
            family = metric_family_id_metric_family[key] = Family(name, metric.description or "", kind, unit)
        if kind == "histogram":
            self._add_histograms(family, points)
        else:
            name = f"{family.name}_total" if kind == "counter" else family.name
            family.samples += [Sample(name, self._labels_of(p.attributes), p.value) for p in points]

    def _have_one_shape(self, points: list[Any]) -> bool:
        if len(self._labels) > MAX_REMEMBERED:
            self._labels.clear()
            self._buckets.clear()
        shapes = {tuple(self._labels_of(point.attributes)) for point in points}
        return len(shapes) == 1

    def _add_histograms(self, family: Family, points: list[Any]) -> None:
        bucket, count, total = (f"{family.name}_{suffix}" for suffix in ("bucket", "count", "sum"))
        for point in points:
            below = 0
            for number, labels in zip(point.bucket_counts, self._buckets_of(point), strict=True):
                below += number
                family.samples.append(Sample(bucket, labels, below))
            labels = self._labels_of(point.attributes)
            family.samples += (Sample(count, labels, below), Sample(total, labels, point.sum))

    def _labels_of(self, attributes: Mapping[str, Any]) -> dict[str, str]:
        kept = self._labels.get(id(attributes))
        if kept is None:
            labels = {sanitize_attribute(key): self._check_value(value) for key, value in sorted(attributes.items())}
            kept = self._labels[id(attributes)] = (attributes, labels)
        return kept[1]

    def _buckets_of(self, point: Any) -> list[dict[str, str]]:
        kept = self._buckets.get(id(point.attributes))
        if kept is None or kept[0] is not point.explicit_bounds:
            labels = self._labels_of(point.attributes)
            bounds = [*(f"{bound}" for bound in point.explicit_bounds), "+Inf"]
            made = [{**labels, "le": bound} for bound in bounds]
            kept = self._buckets[id(point.attributes)] = (point.explicit_bounds, made)
        return kept[1]


def _kind(metric: Metric) -> str | None:
    """Name the Prometheus type of what is translated here; None is left to the exporter."""
    if isinstance(metric.data, Histogram):
        return "histogram"
    if isinstance(metric.data, Sum) and metric.data.is_monotonic:
        return "counter"
    return "gauge" if isinstance(metric.data, Gauge) else None
