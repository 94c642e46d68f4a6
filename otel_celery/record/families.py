"""Translate OpenTelemetry's data points into Prometheus families, and cache the labels of each series.

At every scrape the exporter sanitises each label of each point, and formats each bucket's bound. That takes a third of
its time, in the process that dispatches tasks. Here a series keeps its labels from one scrape to the next, and its
samples for as long as nothing has changed: whoever writes them finds the line that it has written already. A test
compares the expositions of both, byte for byte.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from prometheus_client.core import InfoMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from otel_celery.record.naming import label_name, label_value, metric_name, unit_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData

    Shown = tuple[Any, Mapping[str, str], list[Sample]]
    """A histogram's data point, its labels, and its samples."""

NONE = Sample("", {}, 0.0)

SPARE = 1_000
"""Label sets cached besides twice those of the last scrape: series come and go, and come back with new objects."""


class RememberingCollector(Collector):
    """A collector in place of the exporter's, with a cache; for one scrape at a time."""

    def __init__(self, collect: Callable[[], None]) -> None:
        """``collect`` is called at each scrape, and passes the collected metrics to :meth:`add`."""
        self._collect = collect
        self._data: list[MetricsData] = []
        self._target: Family | None = None
        # An entry keeps its attributes alive, so that no other object can take their id, which is its key.
        self._labels: dict[int, tuple[Mapping[str, Any], dict[str, str]]] = {}
        self._buckets: dict[int, tuple[object, list[dict[str, str]]]] = {}
        self._numbers: dict[str, list[Sample]] = {}
        self._histograms: dict[str, list[Shown]] = {}
        self._seen: set[int] = set()

    @property
    def kept(self) -> int:
        """The number of label sets that are cached."""
        return len(self._labels)

    def add(self, data: MetricsData) -> None:
        """Take the metrics of one collection."""
        self._data.append(data)

    def collect(self) -> Iterable[Family]:
        """Return the families of a scrape, the resource first."""
        self._collect()
        taken, self._data = self._data, []
        found = [resource_metrics for data in taken for resource_metrics in data.resource_metrics]
        if self._target is None and found:
            self._target = _target(found[0].resource.attributes)
        families: dict[str, Family] = {}
        if self.kept > 2 * len(self._seen) + SPARE:
            self._labels.clear()
            self._buckets.clear()
        self._seen.clear()
        before = self._numbers, self._histograms
        self._numbers, self._histograms = {}, {}
        for resource_metrics in found:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    self._translate(metric, families, before)
        return [*filter(None, [self._target if found else None]), *families.values()]

    def _translate(
        self,
        metric: Metric,
        families: dict[str, Family],
        before: tuple[dict[str, list[Sample]], dict[str, list[Shown]]],
    ) -> None:
        kind, points = _kind(metric), list[Any](metric.data.data_points)
        if kind is None:
            return
        name, unit = metric_name(metric.name), unit_word(metric.unit or "")
        name = name.removesuffix("_total") if kind == "counter" else name
        key = f"{name}|{metric.description}|{unit}|{kind}"
        family = families.get(key)
        if family is None:
            family = families[key] = Family(name, metric.description or "", kind, unit)
        filled = self._filled(points)
        numbers, histograms = before
        if kind == "histogram":
            shown = self._shown(family.name, points, filled, histograms.get(key, ()))
            self._histograms[key] = shown
            family.samples += chain.from_iterable(samples for _, _, samples in shown)
        else:
            name = f"{family.name}_total" if kind == "counter" else family.name
            self._numbers[key] = samples = _samples(name, points, filled, numbers.get(key, ()))
            family.samples += samples

    def _filled(self, points: list[Any]) -> list[dict[str, str]]:
        """Return the labels of each point.

        As in the exporter, a label that only other points of the family have is empty.
        """
        self._seen.update([id(point.attributes) for point in points])
        labels = [self._labels_of(point.attributes) for point in points]
        shapes = {tuple(each) for each in labels}
        if len(shapes) <= 1:
            return labels
        empty = dict.fromkeys(sorted(set().union(*shapes)), "")
        return [{**empty, **each} for each in labels]

    def _shown(
        self, name: str, points: list[Any], filled: list[dict[str, str]], before: Sequence[Shown]
    ) -> list[Shown]:
        """Return the samples of histograms: the very same ones as before of each that has observed nothing since."""
        names = tuple(f"{name}_{suffix}" for suffix in ("bucket", "count", "sum"))
        shown: list[Shown] = []
        for point, labels, known in zip(points, filled, chain(before, repeat(None)), strict=False):
            if known is not None and known[1] is labels and _is_same(known[0], point):
                shown.append(known)
            else:
                shown.append((point, labels, self._histogram(names, point, labels)))
        return shown

    def _histogram(self, names: tuple[str, ...], point: Any, labels: dict[str, str]) -> list[Sample]:
        bucket, count, total = names
        below = 0
        samples = []
        for number, bounded in zip(point.bucket_counts, self._buckets_of(point, labels), strict=True):
            below += number
            samples.append(Sample(bucket, bounded, below))
        return [*samples, Sample(count, labels, below), Sample(total, labels, point.sum)]

    def _labels_of(self, attributes: Mapping[str, Any]) -> dict[str, str]:
        kept = self._labels.get(id(attributes))
        if kept is None:
            labels = {label_name(key): label_value(value) for key, value in sorted(attributes.items())}
            kept = self._labels[id(attributes)] = (attributes, labels)
        return kept[1]

    def _buckets_of(self, point: Any, labels: dict[str, str]) -> list[dict[str, str]]:
        kept = self._buckets.get(id(point.attributes))
        if kept is None or kept[0] is not point.explicit_bounds or len(kept[1][0]) != len(labels) + 1:
            bounds = [*(f"{bound}" for bound in point.explicit_bounds), "+Inf"]
            made = [{**labels, "le": bound} for bound in bounds]
            kept = self._buckets[id(point.attributes)] = (point.explicit_bounds, made)
        return kept[1]


def _samples(name: str, points: list[Any], filled: list[dict[str, str]], before: Sequence[Sample]) -> list[Sample]:
    """Return the samples of numbers: the very same ones as before where nothing has changed."""
    return [
        known if known.labels is labels and _is_equal(known.value, point.value) else Sample(name, labels, point.value)
        for point, labels, known in zip(points, filled, chain(before, repeat(NONE)), strict=False)
    ]


def _is_equal(one: float, other: float) -> bool:
    """Tell whether two numbers are written alike: zero may have a sign."""
    return one is other or (one == other and one != 0)


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two histograms have the same buckets."""
    return (
        one.sum == other.sum
        and one.bucket_counts == other.bucket_counts
        and one.explicit_bounds is other.explicit_bounds
    )


def _target(attributes: Mapping[str, Any]) -> Family:
    """Make ``target_info`` from a resource's attributes."""
    labels = {label_name(key): label_value(value) for key, value in attributes.items()}
    info = InfoMetricFamily("target", "Target metadata", labels=list(labels))
    info.add_metric(list(labels), labels)
    return info


def _kind(metric: Metric) -> str | None:
    """Return a metric's Prometheus type; None for data without one, which is not shown."""
    if isinstance(metric.data, Histogram):
        return "histogram"
    if isinstance(metric.data, Sum):
        return "counter" if metric.data.is_monotonic else "gauge"
    return "gauge" if isinstance(metric.data, Gauge) else None
