"""Convert data points to Prometheus's: labels that are texts, one series for each label set, buckets in order.

OpenTelemetry tells ``1`` from ``"1"``, an empty label from a missing one, and ``a.b`` from ``a_b``. To Prometheus each
of these pairs is one series, of which it keeps the first point. So the points of such series are added up here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from otel_celery import plain
from otel_celery.adding import united
from otel_celery.lifecycle import Loss
from otel_celery.record import outgoing
from otel_celery.record.naming import label_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Key = tuple[tuple[str, str], ...]
    Refused = Callable[[Loss, Key], None]

BUCKET_LABEL = "le"
RENAMED = "exported_le"
"""The new name of a histogram's own label ``le``, as Prometheus would rename it: buckets have their own ``le``."""

MAX_REMEMBERED = 100_000


class SeriesBook:
    """Caches the labels of each point's attributes, which must be plain."""

    def __init__(self, length: int) -> None:
        """Cut label values to ``length`` characters."""
        self._length = length
        # An entry keeps its object alive, so that no other object can take its id, which is the key.
        self._labels: dict[tuple[int, bool], tuple[object, Mapping[str, str], Key]] = {}
        self._bounds: dict[int, tuple[object, Sequence[Any]]] = {}

    def united(self, kind: str, points: Iterable[Any], refused: Refused) -> list[Any]:
        """Return the points of a family as the port shows them; ``refused`` is called for each that it cannot show."""
        if len(self._labels) + len(self._bounds) > MAX_REMEMBERED:
            self._labels.clear()
            self._bounds.clear()
        is_histogram = kind == "histogram"
        fit: list[Any] = []
        keys: list[Key] = []
        for point in points:
            _, labels, key = self._known(point.attributes, is_histogram=is_histogram)
            if (kind == "counter" and not point.value >= 0) or (is_histogram and math.isnan(point.sum)):
                refused(Loss.VALUE, key)  # OpenMetrics allows no counter that is NaN, or negative
                continue
            shown = self._ordered(point) if is_histogram else point
            fit.append(shown if labels is shown.attributes else replace(shown, attributes=labels))
            keys.append(key)
        return united(fit, keys, lambda point: refused(Loss.MISMATCH, self._known(point.attributes)[2]))

    def _known(
        self, attributes: Mapping[str, Any] | None, *, is_histogram: bool = False
    ) -> tuple[object, Mapping[str, str], Key]:
        kept = self._labels.get((id(attributes), is_histogram))
        if kept is None:
            labels: Mapping[str, str] = self._shown(attributes or {}, is_histogram=is_histogram)
            key = tuple(sorted((name, value) for name, value in labels.items() if value))
            labels = attributes if attributes == labels else labels
            kept = self._labels[id(attributes), is_histogram] = (attributes, labels, key)
        return kept

    def _shown(self, attributes: Mapping[str, Any], *, is_histogram: bool) -> dict[str, str]:
        """Convert the labels; values of keys that become one are joined by ``;``, as the specification says."""
        labels: dict[str, str] = {}
        for key in sorted(attributes):
            name = label_name(key)
            name = RENAMED if is_histogram and name == BUCKET_LABEL else name
            value = outgoing.shown(attributes[key], self._length)
            labels[name] = f"{labels[name]};{value}" if name in labels else value
        return labels

    def _ordered(self, point: Any) -> Any:
        """Leave out the bounds that no parser accepts, and add their counts to the next bucket."""
        bounds = self._bounds_of(point.explicit_bounds)
        if bounds is point.explicit_bounds:
            return point
        counts, below, places = [], 0, set(bounds)
        for bound, number in zip([*point.explicit_bounds, math.inf], point.bucket_counts, strict=True):
            below += number
            if bound in places or bound == math.inf:
                counts.append(below)
                below = 0
                places.discard(bound)
        return replace(point, explicit_bounds=bounds, bucket_counts=counts)

    def _bounds_of(self, given: Sequence[Any]) -> Sequence[Any]:
        kept = self._bounds.get(id(given))
        if kept is None:
            made = tuple(_increasing(given))
            is_same = len(made) == len(given) and {type(bound) for bound in given} <= {int, float}
            kept = self._bounds[id(given)] = (given, given if is_same else made)
        return kept[1]


def _increasing(given: Sequence[Any]) -> Iterable[int | float]:
    last = -math.inf
    for bound in map(plain.number, given):
        as_float = float(bound)
        if 0 <= as_float < math.inf and as_float > last:  # OpenMetrics allows no sum with a negative bound
            yield bound
            last = as_float
