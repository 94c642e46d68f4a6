"""How the values of one series from many children become one: what is added, replaced, or taken back at a death.

A cell is not a second adder of points, which are :mod:`otel_celery.adding`'s. It takes what a frame says of one child,
and makes a point only when a reader collects. It remembers which child said what, so that it can be taken back. It
refuses what no float can hold, so that it is counted as lost, while a point that has been collected can only become
infinite. The arithmetic that the two share is there; one oracle, the SDK that records all in one process, holds both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint

from otel_celery.adding import buckets, plus
from otel_celery.relay.wire import points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_EXACT = 2**53
"""From here on a float leaves out what is small beside it."""


class Counter:
    """Adds whatever any child ever counted."""

    __slots__ = ("value",)

    def __init__(self, _bounds: Sequence[float]) -> None:
        """Begin at zero."""
        self.value: int | float = 0

    def take(self, _child: int, value: float) -> None:
        """Add what a child counted."""
        self.value += value

    def end(self, _child: int, *, in_order: bool) -> None:
        """Keep what a child counted when it goes."""

    def state(self) -> Any:
        """Give what a later point may be told the change from."""
        return self.value

    def point(self, attributes: Mapping[str, Any], start: int, now: int, since: Any = None) -> NumberDataPoint | None:
        """Make the SDK's point of it, or of its change; None when nothing changed."""
        if since is not None and since == self.value:
            return None
        return NumberDataPoint(attributes, start, now, self.value - (since or 0))


class UpDown(Counter):
    """Adds what children add and take off; what a child that died without a goodbye had added is taken back.

    A child that is killed in the middle of a task cannot take off again what it had added at the task's beginning.
    """

    __slots__ = ("_by_child", "_kept")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin at zero."""
        super().__init__(bounds)
        self._by_child: dict[int, int | float] = {}
        self._kept: int | float = 0
        """What those that went in order had added."""

    def take(self, child: int, value: float) -> None:
        """Add what a child added, and remember that it did."""
        added = self._by_child.get(child, 0) + value  # raises where a float cannot hold it, and then nothing is added
        self.value += value
        self._by_child[child] = added

    def end(self, child: int, *, in_order: bool) -> None:
        """Take back what a child that was killed had added."""
        added = self._by_child.pop(child, 0)
        if in_order:
            self._kept = plus(self._kept, added)
        elif _is_exact(self.value):
            self.value -= added
        else:
            self._add_up(self._by_child)

    def _add_up(self, by_child: dict[int, int | float]) -> None:
        """Begin afresh: what is taken off infinity leaves no number, and what is taken off 1e308 leaves zero."""
        self.value = sum(by_child.values(), self._kept)
        self._by_child = by_child


class Level(UpDown):
    """Adds what each living child observes at the moment; a child that goes takes its own with it."""

    __slots__ = ()

    def take(self, child: int, value: float) -> None:
        """Replace what a child observed before."""
        if _is_exact(self.value) and _is_exact(value):
            self.value += value - self._by_child.get(child, 0)
            self._by_child[child] = value
        else:
            self._add_up({**self._by_child, child: value})

    def end(self, child: int, *, in_order: bool) -> None:
        """Take a child's value off, however it went."""
        del in_order
        super().end(child, in_order=False)


class Gauge:
    """Keeps the newest value that any child set."""

    __slots__ = ("time", "value")

    def __init__(self, _bounds: Sequence[float]) -> None:
        """Begin older than everything."""
        self.time = -1
        self.value: int | float = 0

    def take(self, _child: int, time: int, value: float) -> None:
        """Take a value over unless it is older; ``time`` in nanoseconds since the epoch."""
        if time >= self.time:
            self.time, self.value = time, value

    def end(self, _child: int, *, in_order: bool) -> None:
        """Keep what a child set when it goes."""

    def state(self) -> Any:
        """Give what a later point may be told the change from: a gauge has none."""

    def point(self, attributes: Mapping[str, Any], _start: int, _now: int, _since: Any = None) -> NumberDataPoint:
        """Make the SDK's point of it."""
        start: Any = None  # as the SDK gives gauges
        return NumberDataPoint(attributes, start, self.time, self.value)


class Histogram:
    """Adds buckets, sums and counts."""

    __slots__ = ("bounds", "counts", "least", "most", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin without observations."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total: int | float = 0
        self.least, self.most = math.inf, -math.inf

    def take(self, _child: int, total: float, least: float, most: float, counts: Sequence[int]) -> None:
        """Add what a child observed."""
        self.total += total  # raises where a float cannot hold it, and then nothing is added
        self.counts = buckets(self.counts, counts)
        self.least, self.most = min(self.least, least), max(self.most, most)

    def end(self, _child: int, *, in_order: bool) -> None:
        """Keep what a child observed when it goes."""

    def state(self) -> Any:
        """Give what a later point may be told the change from."""
        return (self.total, self.counts)

    def point(
        self, attributes: Mapping[str, Any], start: int, now: int, since: Any = None
    ) -> HistogramDataPoint | None:
        """Make the SDK's point of it, or of its change; least and most of a change are not known."""
        if since is None:
            return self._point(attributes, start, now, self.counts, self.total, (self.least, self.most))
        before, counts = since
        if counts == self.counts:
            return None
        changed = [mine - old for mine, old in zip(self.counts, counts, strict=True)]
        return self._point(attributes, start, now, changed, self.total - before, (None, None))

    def _point(  # noqa: PLR0913, PLR0917  what a point is made of
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
