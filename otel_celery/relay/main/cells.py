"""Merge the values of one series from many children: add them, replace them, or take them back when a child dies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint

from otel_celery.adding import plus
from otel_celery.relay.wire import points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_EXACT = 2**53
"""From this value on a float does not hold every integer, so that small summands are lost."""


class Counter:
    """Adds the increments of all children."""

    __slots__ = ("value",)

    def __init__(self, _bounds: Sequence[float]) -> None:
        """Begin at zero."""
        self.value: int | float = 0

    def take(self, _child: int, value: float) -> None:
        """Add a child's increment."""
        self.value += value

    def end(self, _child: int, *, in_order: bool) -> None:
        """Keep the increments of a child that ends."""

    def state(self) -> Any:
        """Return the present total: the next delta starts from it."""
        return self.value

    def point(self, attributes: Mapping[str, Any], start: int, now: int, since: Any = None) -> NumberDataPoint | None:
        """Make the SDK's point of the total, or of the delta ``since`` a state; None if nothing changed."""
        if since is not None and since == self.value:
            return None
        return NumberDataPoint(attributes, start, now, self.value - (since or 0))


class UpDown(Counter):
    """Adds the changes of all children; the changes of a child that died without a goodbye are taken back.

    A child that is killed in the middle of a task cannot undo the increment with which the task began.
    """

    __slots__ = ("_by_child", "_kept")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin at zero."""
        super().__init__(bounds)
        self._by_child: dict[int, int | float] = {}
        self._kept: int | float = 0
        """The sum of the children that ended in order."""

    def take(self, child: int, value: float) -> None:
        """Add a child's change to the total and to the child's own sum."""
        added = self._by_child.get(child, 0) + value  # raises if no float can hold it, and then nothing is added
        self.value += value
        self._by_child[child] = added

    def end(self, child: int, *, in_order: bool) -> None:
        """Take back the sum of a killed child, and keep that of one that ended in order."""
        added = self._by_child.pop(child, 0)
        if in_order:
            self._kept = plus(self._kept, added)
        elif _is_exact(self.value):
            self.value -= added
        else:
            self._add_up(self._by_child)

    def _add_up(self, by_child: dict[int, int | float]) -> None:
        """Add up all children again.

        A subtraction would be wrong for large values: from infinity it leaves NaN, and from 1e308 it leaves zero.
        """
        self.value = sum(by_child.values(), self._kept)
        self._by_child = by_child


class Level(UpDown):
    """Adds the current values of living children; the value of a child that ends is removed."""

    __slots__ = ()

    def take(self, child: int, value: float) -> None:
        """Replace a child's previous value."""
        if _is_exact(self.value) and _is_exact(value):
            self.value += value - self._by_child.get(child, 0)
            self._by_child[child] = value
        else:
            self._add_up({**self._by_child, child: value})

    def end(self, child: int, *, in_order: bool) -> None:
        """Remove a child's value, whether it ended in order or not."""
        del in_order
        super().end(child, in_order=False)


class Gauge:
    """Keeps the newest value of all children."""

    __slots__ = ("time", "value")

    def __init__(self, _bounds: Sequence[float]) -> None:
        """Begin with a time before any other."""
        self.time = -1
        self.value: int | float = 0

    def take(self, _child: int, time: int, value: float) -> None:
        """Keep a value unless it is older; ``time`` is in nanoseconds since the epoch."""
        if time >= self.time:
            self.time, self.value = time, value

    def end(self, _child: int, *, in_order: bool) -> None:
        """Keep the value of a child that ends."""

    def state(self) -> Any:
        """Return None: a gauge has no delta."""

    def point(self, attributes: Mapping[str, Any], _start: int, _now: int, _since: Any = None) -> NumberDataPoint:
        """Make the SDK's point."""
        start: Any = None  # as in the SDK's own gauges
        return NumberDataPoint(attributes, start, self.time, self.value)


class Histogram:
    """Adds bucket counts, sums and counts of all children."""

    __slots__ = ("bounds", "counts", "least", "most", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin without observations."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total: int | float = 0
        self.least, self.most = math.inf, -math.inf

    def take(self, _child: int, total: float, least: float, most: float, counts: Sequence[int]) -> None:
        """Add a child's observations."""
        self.total += total  # raises if no float can hold it, and then nothing is added
        self.counts = [mine + new for mine, new in zip(self.counts, counts, strict=True)]
        self.least, self.most = min(self.least, least), max(self.most, most)

    def end(self, _child: int, *, in_order: bool) -> None:
        """Keep the observations of a child that ends."""

    def state(self) -> Any:
        """Return the present sum and bucket counts: the next delta starts from them."""
        return (self.total, self.counts)

    def point(
        self, attributes: Mapping[str, Any], start: int, now: int, since: Any = None
    ) -> HistogramDataPoint | None:
        """Make the SDK's point of the totals, or of the delta ``since`` a state; None if nothing changed.

        The minimum and maximum of a delta are unknown.
        """
        if since is None:
            return self._point(attributes, start, now, self.counts, self.total, (self.least, self.most))
        before, counts = since
        if counts == self.counts:
            return None
        changed = [mine - old for mine, old in zip(self.counts, counts, strict=True)]
        return self._point(attributes, start, now, changed, self.total - before, (None, None))

    def _point(  # noqa: PLR0913, PLR0917  the fields of a point
        self,
        attributes: Mapping[str, Any],
        start: int,
        now: int,
        counts: Sequence[int],
        total: float,
        extremes: tuple[Any, Any],
    ) -> HistogramDataPoint:
        return HistogramDataPoint(attributes, start, now, sum(counts), total, counts, self.bounds, *extremes)


def _is_exact(value: float) -> bool:
    return -MOST_EXACT < value < MOST_EXACT


Cell = Counter | Gauge | Histogram

CELLS: dict[str, type[Cell]] = {
    points.COUNTER: Counter,
    points.UP_DOWN: UpDown,
    points.LEVEL: Level,
    points.GAUGE: Gauge,
    points.HISTOGRAM: Histogram,
}
