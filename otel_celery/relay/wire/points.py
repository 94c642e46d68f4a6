"""Instruments and their points as plain values, and the main process's checks of them.

A child sends plain values alone (see :mod:`otel_celery.relay.child.packing`). The main process checks each of them all
the same: an invalid value costs its own point, not the connection nor a reader's later collections.
"""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Histogram, Sum

from otel_celery import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.metrics.export import Metric
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    Labels = tuple[tuple[str, Any], ...]
    Scope = tuple[str, str | None, str | None, Labels]
    Point = tuple[Any, ...]
    """Its labels, then: a number; for a gauge a time and a number; for a histogram sum, min, max and bucket counts."""
    Item = tuple[Scope, str, str, str, str, tuple[float, ...], list[Point]]
    """Scope, name, unit, description, kind, bounds, points."""
    Loss = tuple[str, int, str]
    """A reason, the number of points lost, and the instrument's name."""

COUNTER, UP_DOWN, LEVEL, GAUGE, HISTOGRAM = KINDS = ("counter", "up_down", "level", "gauge", "histogram")
"""``level`` is an observable up-down counter: the child's current value, which disappears with the child."""

MAX_TEXT = 1_000
"""Longest name, unit or description, in characters."""

_NUMBERS = {int, float}
_LABELS = {str, bool, int, float, bytes, NoneType}
_TEXTS = {str, NoneType}


def labels(attributes: Mapping[str, Any] | None, length: int) -> Labels:
    """Make attributes plain, and order them, so that equal ones are equal.

    Raises any exception of the values' own methods.
    """
    return plain.labels(attributes, length) if attributes else ()


def identity(scope: InstrumentationScope, length: int) -> Scope:
    """Make a scope plain.

    Raises any exception of its attributes' own methods.
    """
    version, schema = (None if it is None else plain.text(it, MAX_TEXT) for it in (scope.version, scope.schema_url))
    name: Any = scope.name
    return ("" if name is None else plain.text(name, MAX_TEXT), version, schema, labels(scope.attributes, length))


def kind_of(metric: Metric) -> str | None:
    """Return the kind of instrument that a metric comes from; None if it cannot be merged.

    The child's reader has delta temporality for all kinds but observable sums, of which it gets the totals.
    """
    data = metric.data
    if isinstance(data, Sum):
        if data.is_monotonic:
            return COUNTER
        return LEVEL if is_observed(metric) else UP_DOWN
    if isinstance(data, Gauge):
        return GAUGE
    return HISTOGRAM if isinstance(data, Histogram) else None


def is_observed(metric: Metric) -> bool:
    """Tell whether a sum is a total that a callback observed, and not a delta."""
    return isinstance(metric.data, Sum) and metric.data.aggregation_temporality is AggregationTemporality.CUMULATIVE


def check_head(scope: Any, texts: Sequence[Any], kind: Any, bounds: Any) -> None:
    """Check an instrument's fields.

    Raises TypeError or ValueError if one is invalid.
    """
    name, version, schema, attributes = scope
    if type(name) is not str or not {type(version), type(schema)} <= _TEXTS:
        raise TypeError("an invalid scope")
    check_labels(attributes)
    if set(map(type, texts)) != {str} or kind not in KINDS:
        raise TypeError("an invalid instrument")
    if type(bounds) is not tuple or not set(map(type, bounds)) <= _NUMBERS:
        raise TypeError("invalid bounds")


def check_labels(told: Any) -> None:
    """Check that labels are plain.

    Raises TypeError or ValueError if they are not.
    """
    if type(told) is not tuple:
        raise TypeError("invalid labels")
    for key, value in told:
        if type(key) is not str or not _is_label(value):
            raise TypeError("an invalid label")


def check_values(kind: str, bounds: Sequence[float], values: Sequence[Any]) -> None:
    """Check that the values of a point fit its kind.

    Raises TypeError or ValueError if they do not.
    """
    if kind == HISTOGRAM:
        _check_histogram(bounds, *values)
        return
    if kind == GAUGE:
        time, *values = values
        if type(time) is not int or not 0 <= time < 1 << 63:
            raise TypeError("an invalid time")
    (value,) = values
    if type(value) not in _NUMBERS:
        raise TypeError("an invalid value")


def _check_histogram(bounds: Sequence[float], total: Any, least: Any, most: Any, counts: Any) -> None:
    if type(counts) is not tuple or len(counts) != len(bounds) + 1 or set(map(type, counts)) != {int}:
        raise TypeError("invalid buckets")
    if not {type(total), type(least), type(most)} <= _NUMBERS:
        raise TypeError("an invalid value")


def _is_label(value: Any) -> bool:
    kind = type(value)
    if kind is tuple:
        return all(map(_is_label, value))
    if kind is dict:
        return all(type(key) is str and _is_label(each) for key, each in value.items())
    return kind in _LABELS
