"""Pack a child's collection as plain values; a value that cannot be made plain costs its own point, and is counted.

The SDK forgets the deltas that it has handed out, so packing must not stop half-way: an exception of an application's
object is kept to the point that holds it. This is the relay's own thread, to which no signal and no time limit comes,
so that even a SystemExit comes from such an object.
"""

from __future__ import annotations

from collections import Counter
from numbers import Integral
from operator import index
from typing import TYPE_CHECKING, Any

from otel_celery import plain
from otel_celery.lifecycle import Loss
from otel_celery.relay.wire import columns, frames, points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otel_celery.relay.wire.points import Item, Labels, Point

    Head = tuple[points.Scope, str, str, str, str]
    """Scope, name, unit, description, kind."""

MAX_SCOPES = 1_000
"""Scopes whose plain form is cached, at most."""


class Packer:
    """Packs the collections of one provider; remembers the observed totals, and the losses."""

    def __init__(self, label_length: int) -> None:
        """Cut label values to ``label_length`` characters."""
        self._length = label_length
        self._scopes: dict[int, tuple[InstrumentationScope, points.Scope]] = {}
        self._observed: dict[tuple[Head, str], int | float] = {}
        self._losses: Counter[tuple[Loss, str]] = Counter()

    def lose(self, reason: Loss, name: str, number: int = 1) -> None:
        """Count ``number`` lost points of the instrument ``name``."""
        self._losses[reason, name] += number

    def losses(self) -> list[points.Loss]:
        """Return the losses since the last call."""
        lost, self._losses = self._losses, Counter()
        return [(reason.value, number, name) for (reason, name), number in lost.items()]

    def frames(self, collected: MetricsData) -> Iterator[bytes]:
        """Pack a collection into frames; never raises."""
        for item in self.items(collected):
            yield from self._frames(item)

    def items(self, collected: MetricsData) -> Iterator[Item]:
        """Convert a collection to plain items; never raises."""
        for resource_metrics in collected.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    yield from self._items(scope_metrics.scope, metric)

    def _frames(self, item: Item) -> Iterator[bytes]:
        *head, held = item
        try:
            yield frames.delta(item)
        except Exception:  # noqa: BLE001  too long for one, or nested too deep, or an integer of thousands of digits
            if len(held) == 1:
                self.lose(Loss.VALUE, item[1])
                return
            half = len(held) // 2
            for part in (held[:half], held[half:]):
                yield from self._frames((*head, part))  # type: ignore[arg-type]

    def _items(self, scope: InstrumentationScope, metric: Metric) -> Iterator[Item]:
        held = list[Any](metric.data.data_points)
        kind = points.kind_of(metric)
        head = self._head(scope, metric, kind or "")
        if kind is None or head is None:
            self.lose(Loss.UNSUPPORTED if head else Loss.VALUE, head[1] if head else "", len(held))
            return
        for bounds, group in self._groups(head, held).items():
            told = list(self._changes(head, group)) if points.is_observed(metric) else group
            for start in range(0, len(told), columns.MAX_POINTS):
                yield (*head, bounds, told[start : start + columns.MAX_POINTS])

    def _groups(self, head: Head, held: list[Any]) -> dict[tuple[float, ...], list[Point]]:
        """Make points plain, grouped by their bucket bounds: views can give one instrument several sets of bounds."""
        groups: dict[tuple[float, ...], list[Point]] = {}
        values = _VALUES.get(head[-1], _number)
        for point in held:
            try:
                bounds = _bounds(point.explicit_bounds) if values is _buckets else ()
                packed = (points.labels(point.attributes, self._length), *values(point))
            except BaseException:  # noqa: BLE001  see the module
                self.lose(Loss.VALUE, head[1])
            else:
                groups.setdefault(bounds, []).append(packed)
        return groups

    def _head(self, scope: InstrumentationScope, metric: Metric, kind: str) -> Head | None:
        try:
            name, unit, description = map(_text, (metric.name, metric.unit, metric.description))
            return self._scope(scope), name, unit, description, kind
        except BaseException:  # noqa: BLE001  see the module
            return None

    def _scope(self, scope: InstrumentationScope) -> points.Scope:
        """Make a scope plain, once; the cache keeps it alive, so that no other object can take its id, the key."""
        known = self._scopes.get(id(scope))
        if known is None:
            if len(self._scopes) >= MAX_SCOPES:
                self._scopes.clear()
            known = self._scopes[id(scope)] = (scope, points.identity(scope, self._length))
        return known[1]

    def _changes(self, head: Head, group: list[Point]) -> Iterator[Point]:
        """Yield the delta of each observed total, and the value itself of a level.

        Series that became one when their labels were made plain are added up first.
        """
        totals: dict[str, tuple[Labels, int | float]] = {}
        for labels, value in group:
            key = repr(labels)
            try:
                totals[key] = (labels, totals[key][1] + value if key in totals else value)
            except OverflowError:  # an integer too large for a float is added to one
                self.lose(Loss.VALUE, head[1])
        for key, (labels, value) in totals.items():
            if head[-1] == points.LEVEL:
                yield labels, value
                continue
            before = self._observed.get((head, key))
            self._observed[head, key] = value
            if value != before:
                yield from self._change(head, labels, value, before or 0)

    def _change(self, head: Head, labels: Labels, value: float, before: float) -> Iterator[Point]:
        try:
            yield labels, value - before
        except OverflowError:
            self.lose(Loss.VALUE, head[1])


def _number(point: Any) -> tuple[Any, ...]:
    return (plain.number(point.value),)


def _newest(point: Any) -> tuple[Any, ...]:
    return (point.time_unix_nano, plain.number(point.value))


def _buckets(point: Any) -> tuple[Any, ...]:
    total, least, most = map(plain.number, (point.sum, point.min, point.max))
    return (total, least, most, tuple(point.bucket_counts))


_VALUES = {points.GAUGE: _newest, points.HISTOGRAM: _buckets}


def _text(value: Any) -> str:
    return "" if value is None else plain.text(value, points.MAX_TEXT)


def _bounds(given: Iterable[Any]) -> tuple[int | float, ...]:
    """Return plain bounds of the same types: the port prints 1 and 1.0 differently."""
    bounds = tuple(given)
    if set(map(type, bounds)) <= {float, int}:
        return bounds
    return tuple([index(it) if issubclass(type(it), Integral) else plain.number(it) for it in bounds])
