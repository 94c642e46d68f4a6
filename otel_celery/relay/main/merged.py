"""The merged metrics of all children: one stream for each instrument, one cell for each of its label sets."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from otel_celery.lifecycle import Loss
from otel_celery.relay.main.cells import CELLS, Histogram
from otel_celery.relay.wire import points as words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.metrics.export import MetricReader

    from otel_celery.relay.main.cells import Cell
    from otel_celery.relay.wire.points import Labels, Scope

MAX_STREAMS = 1_000
"""Instruments, at most; a task that makes up names must not grow the main process without end."""

MAX_SERIES = 2_000
"""Label sets of each instrument, at most, the SDK's own default; further ones are added up under OVERFLOW."""

OVERFLOW: Labels = (("otel.metric.overflow", True),)
"""The labels that the SDK gives to the series beyond its limit."""


class Losses(Protocol):
    """Counts points that children recorded and that are not exported."""

    def __call__(self, reason: Loss, number: int = 1, *, name: str = "") -> None:
        """Count ``number`` points of the instrument ``name``, lost for this reason."""


@dataclass(eq=False, slots=True)
class Stream:
    """One instrument, merged over all children."""

    scope: Scope
    name: str
    unit: str
    description: str
    kind: str
    bounds: tuple[float, ...]
    cells: dict[str, tuple[dict[str, Any], Cell]] = field(default_factory=dict)

    def cell(self, labels: Labels) -> Cell:
        """Return the cell of a label set, made at the first call; beyond MAX_SERIES, the cell of OVERFLOW.

        Raises TypeError or ValueError if the labels are not plain.
        """
        key = repr(labels)  # tells 1 from True and 1.0, which are equal
        found = self.cells.get(key)
        if found is None:
            words.check_labels(labels)
            if len(self.cells) >= MAX_SERIES:
                labels, key = OVERFLOW, repr(OVERFLOW)
                found = self.cells.get(key)
        if found is None:
            found = self.cells[key] = (dict(labels), CELLS[self.kind](self.bounds))
        return found[1]


@dataclass(slots=True)
class _Memory:
    """The last collection of one reader with delta temporality: its time, and the state of each cell."""

    asked_at: int
    states: dict[Cell, Any] = field(default_factory=dict)


class Merged:
    """The merged metrics of one worker's children; every method may be called from any thread."""

    def __init__(self, lost: Losses, started_at: int) -> None:
        """Begin empty; ``started_at`` in nanoseconds since the epoch."""
        self._lost = lost
        self._started_at = started_at
        self._lock = threading.Lock()
        self._streams: dict[tuple[Scope, str, str, str], Stream] = {}
        self._memories: WeakKeyDictionary[MetricReader, _Memory] = WeakKeyDictionary()

    def take(self, child: int, items: Any) -> None:
        """Merge the points that a child sent; ``child`` is a number that no other child has.

        An invalid item is left out and counted, and affects no other. Never raises for anything that a child sends.
        """
        with self._lock:
            for item in items if type(items) is list else [items]:
                self._take(child, item)

    def lose(self, losses: Any) -> None:
        """Count the points that a child could not send. Never raises for anything that a child sends."""
        for loss in losses if type(losses) is list else [losses]:
            try:
                reason, number, name = loss
                self._lost(Loss(reason), max(1, int(number)), name=str(name))
            except (TypeError, ValueError):
                self._lost(Loss.MALFORMED)

    def end(self, child: int, *, in_order: bool) -> None:
        """Note that a child ended; ``in_order`` if it had said goodbye."""
        with self._lock:
            for stream in self._streams.values():
                if stream.kind in {words.UP_DOWN, words.LEVEL}:
                    self._end(child, stream, in_order=in_order)

    def points(
        self, reader: MetricReader, is_delta: Callable[[str], bool], now: int
    ) -> Iterator[tuple[Stream, dict[str, Any]]]:
        """Yield each stream with the SDK's points of its cells, by the key of their labels.

        ``is_delta`` tells for which kinds of instruments this reader has delta temporality; ``now`` is in nanoseconds
        since the epoch.
        """
        with self._lock:
            memory = self._memories.setdefault(reader, _Memory(self._started_at))
            made = [(stream, self._points(stream, memory, is_delta, now)) for stream in self._streams.values()]
            memory.asked_at = now
        return (pair for pair in made if pair[1])

    def _take(self, child: int, item: Any) -> None:
        try:
            scope, name, unit, description, kind, bounds, told = item
            number = len(told)
            stream = self._stream((scope, name, unit, kind), description, bounds)
        except Exception:  # noqa: BLE001  not seven fields, or not hashable, or of wrong types
            self._lost(Loss.MALFORMED)
            return
        if stream is None:
            self._lost(Loss.LIMIT, number, name=name)
        elif stream.bounds != bounds:
            self._lost(Loss.MISMATCH, number, name=name)
        else:
            self._add(child, stream, told)

    def _stream(self, key: tuple[Scope, str, str, str], description: Any, bounds: Any) -> Stream | None:
        stream = self._streams.get(key)
        if stream is None:
            scope, name, unit, kind = key
            words.check_head(scope, (name, unit, description), kind, bounds)
            if len(self._streams) < MAX_STREAMS:
                stream = self._streams[key] = Stream(scope, name, unit, description, kind, bounds)
        return stream

    def _add(self, child: int, stream: Stream, told: Any) -> None:
        """Add each point as a whole, or not at all."""
        for point in told:
            try:
                labels, *values = point
                words.check_values(stream.kind, stream.bounds, values)
                stream.cell(labels).take(child, *values)
            except Exception:  # noqa: BLE001  any error costs this point alone
                self._lost(Loss.VALUE, name=stream.name)

    def _end(self, child: int, stream: Stream, *, in_order: bool) -> None:
        for _, cell in stream.cells.values():
            try:
                cell.end(child, in_order=in_order)
            except OverflowError:  # an integer too large for a float is subtracted from one
                self._lost(Loss.VALUE, name=stream.name)

    def _points(self, stream: Stream, memory: _Memory, is_delta: Callable[[str], bool], now: int) -> dict[str, Any]:
        changes = is_delta(stream.kind)
        made: dict[str, Any] = {}
        for key, (attributes, cell) in stream.cells.items():
            since = memory.states.get(cell, _nothing(cell)) if changes else None
            try:
                point = cell.point(attributes, memory.asked_at if changes else self._started_at, now, since)
            except OverflowError:  # an integer too large for a float is subtracted from one
                self._lost(Loss.VALUE, name=stream.name)
                point = None
            if changes:
                memory.states[cell] = cell.state()
            if point is not None:
                made[key] = point
        return made


def _nothing(cell: Cell) -> Any:
    """Return the state of a cell before its first collection."""
    return (0, [0] * len(cell.counts)) if isinstance(cell, Histogram) else 0
