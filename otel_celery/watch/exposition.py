"""Read one endpoint's scrapes, each by what differs from the one before: most lines of most scrapes do not.

A parser that reads every line anew takes a hundred times as long, and two hundred endpoints are asked each second.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_celery.masking import printable
from otel_celery.watch.figures import figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_celery.watch.families import Key

MOST_SERIES = 200_000
"""Series of an endpoint at most; a worker at its bounds has 119 000."""
LONGEST = 200
"""Characters of a label's value at most."""
STARTED = "process_start_time_seconds"

_SERIES = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
_ESCAPED = re.compile(r"\\(.)")


class Series:
    """One series: its name, its labels, its value, and the keys of what its rises are added to."""

    __slots__ = ("keys", "labels", "name", "scrape", "value")

    def __init__(self, name: str, labels: Mapping[str, str]) -> None:
        """Begin without a value."""
        self.name = name
        self.labels = labels
        self.value: float | None = None
        self.scrape = 0
        """The number of the scrape that brought the value."""
        self.keys: tuple[Key, ...] = ()


class Exposition:
    """What one endpoint says, as of its last scrape."""

    def __init__(self, wanted: Iterable[str], meeting: Callable[[Series], tuple[Key, ...]]) -> None:
        """Keep the series of the wanted names alone; ``meeting`` is told of each, once, and gives its keys."""
        self._wanted = frozenset((*wanted, STARTED))
        self._meeting = meeting
        self._lines: frozenset[str] = frozenset()
        self._known: dict[str, Series | None] = {}
        self._named: dict[str, list[Series]] = {}
        self.scrapes = 0
        self.starts = 0
        """How often its process has been found to be another one."""

    def __getitem__(self, name: str) -> Iterator[Series]:
        """Give the series of a name that have a value."""
        return (series for series in self._named.get(name, ()) if series.value is not None)

    def unwanted(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """Read, from the last scrape, the labels and values of a name that is not followed."""
        for line in self._lines:
            if line.startswith(name) and (found := _SERIES.fullmatch(line.rpartition(" ")[0])) and found[1] == name:
                yield _labels(found[2]), figure(line.rpartition(" ")[2]) or 0.0

    def has_any(self, names: Iterable[str]) -> bool:
        """Tell whether any of these names has a series now."""
        return any(next(self[name], None) is not None for name in names)

    def read(self, text: str, since: float) -> list[tuple[Series, float]]:
        """Take a scrape; give each series that has risen, and by how much.

        A counter that has fallen began anew, and has risen from 0; so has each series that was not there at the scrape
        before, and each of a process that was started anew. Of the first scrape nothing has risen, unless its process
        was started after ``since``, in seconds since the epoch: then the endpoint was watched before.
        """
        self.scrapes += 1
        lines = frozenset(text.split("\n"))
        changed = self._changed(lines - self._lines)
        if self._is_another(changed):
            self._begin_anew()
            changed = self._changed(lines)
        is_risen = self.scrapes > 1 or any(series.name == STARTED and value >= since for series, value in changed)
        rises = _rises(changed) if is_risen else []
        for series, value in changed:
            series.value, series.scrape = value, self.scrapes
        self._forget(self._lines - lines)
        self._lines = lines
        return rises

    def _changed(self, lines: Iterable[str]) -> list[tuple[Series, float]]:
        """Find the series and values of lines, wanted ones alone."""
        known, changed = self._known, []
        for line in lines:
            key, _, value = line.rpartition(" ")
            try:
                series = known[key]
            except KeyError:
                series = self._meet(key)
            if series is not None and (number := figure(value)) is not None:
                changed.append((series, number))
        return changed

    def _meet(self, key: str) -> Series | None:
        """Learn a series by its first line; None if it is a comment, not wanted, or malformed."""
        if len(self._known) >= MOST_SERIES:
            return None
        found = _SERIES.fullmatch(key) if key.partition("{")[0] in self._wanted else None
        if found is None:
            self._known[key] = None
            return None
        series = Series(found[1], _labels(found[2]))
        series.keys = self._meeting(series)
        self._known[key] = series
        self._named.setdefault(series.name, []).append(series)
        return series

    def _is_another(self, changed: Iterable[tuple[Series, float]]) -> bool:
        """Tell whether the one process of this page is another one now; a page of several tells by what has fallen."""
        if len(self._named.get(STARTED, ())) != 1:
            return False
        return any(series.name == STARTED and series.value not in {None, value} for series, value in changed)

    def _begin_anew(self) -> None:
        self.starts += 1
        self._lines = frozenset()
        for series in self._known.values():
            if series is not None:
                series.value = None

    def _forget(self, gone: Iterable[str]) -> None:
        """Take the value of series whose last line went, and of which this scrape has none."""
        for line in gone:
            series = self._known.get(line.rpartition(" ")[0])
            if series is not None and series.scrape != self.scrapes:
                series.value = None


def _rises(changed: Iterable[tuple[Series, float]]) -> list[tuple[Series, float]]:
    rises = []
    for series, value in changed:
        before = series.value
        rise = value - before if before is not None and value >= before else value
        if rise > 0:
            rises.append((series, rise))
    return rises


def _labels(text: str | None) -> dict[str, str]:
    return {name: _value(value) for name, value in _LABEL.findall(text or "")}


def _value(text: str) -> str:
    """Make a label's value plain: it may come from anywhere, and goes to a terminal."""
    if "\\" in text:
        text = _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text)
    text = text[:LONGEST]
    return text if text.isprintable() else printable(text)
