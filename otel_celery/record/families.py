"""OpenTelemetry's data points as Prometheus families, with everything remembered that a scrape does not change.

The exporter sanitises each label of each point and prints each bucket's bound at every scrape, which takes a third of
its time, in the process that dispatches tasks. Here a series keeps its labels from one scrape to the next. Scope and
resource labels the exporter translates itself, and a test holds the two to the same exposition, byte for byte.
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
        if kind is None or scope_attrs or resource_attrs:
            super()._translate_metric(metric, scope_attrs, resource_attrs, metric_family_id_metric_family)
            return
        name, unit = self._resolve_metric_name(metric.name), map_unit(metric.unit or "")
        name = name.removesuffix("_total") if kind == "counter" else name
        key = f"{name}|{metric.description}|{unit}|{kind}"
        family = metric_family_id_metric_family.get(key)
        if family is None:
            family = metric_family_id_metric_family[key] = Family(name, metric.description or "", kind, unit)
        filled = self._filled(points)
        if kind == "histogram":
            self._add_histograms(family, points, filled)
        else:
            name = f"{family.name}_total" if kind == "counter" else family.name
            family.samples += [Sample(name, labels, p.value) for labels, p in zip(filled, points, strict=True)]

    def _filled(self, points: list[Any]) -> list[dict[str, str]]:
        """List the labels of each point; one that others have and it has not is empty, as the exporter does it."""
        if len(self._labels) > MAX_REMEMBERED:
            self._labels.clear()
            self._buckets.clear()
        labels = [self._labels_of(point.attributes) for point in points]
        shapes = {tuple(each) for each in labels}
        if len(shapes) <= 1:
            return labels
        empty = dict.fromkeys(sorted(set().union(*shapes)), "")
        return [{**empty, **each} for each in labels]

    def _add_histograms(self, family: Family, points: list[Any], filled: list[dict[str, str]]) -> None:
        bucket, count, total = (f"{family.name}_{suffix}" for suffix in ("bucket", "count", "sum"))
        for point, labels in zip(points, filled, strict=True):
            below = 0
            for number, bounded in zip(point.bucket_counts, self._buckets_of(point, labels), strict=True):
                below += number
                family.samples.append(Sample(bucket, bounded, below))
            family.samples += (Sample(count, labels, below), Sample(total, labels, point.sum))

    def _labels_of(self, attributes: Mapping[str, Any]) -> dict[str, str]:
        kept = self._labels.get(id(attributes))
        if kept is None:
            labels = {sanitize_attribute(key): self._check_value(value) for key, value in sorted(attributes.items())}
            kept = self._labels[id(attributes)] = (attributes, labels)
        return kept[1]

    def _buckets_of(self, point: Any, labels: dict[str, str]) -> list[dict[str, str]]:
        kept = self._buckets.get(id(point.attributes))
        if kept is None or kept[0] is not point.explicit_bounds or len(kept[1][0]) != len(labels) + 1:
            bounds = [*(f"{bound}" for bound in point.explicit_bounds), "+Inf"]
            made = [{**labels, "le": bound} for bound in bounds]
            kept = self._buckets[id(point.attributes)] = (point.explicit_bounds, made)
        return kept[1]


def _kind(metric: Metric) -> str | None:
    """Name the Prometheus type of what is translated here; None is left to the exporter."""
    if isinstance(metric.data, Histogram):
        return "histogram"
    if isinstance(metric.data, Sum):
        return "counter" if metric.data.is_monotonic else "gauge"
    return "gauge" if isinstance(metric.data, Gauge) else None
