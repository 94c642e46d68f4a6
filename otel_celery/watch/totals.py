"""Add up what has risen since the watch began, and tell how much of it was within a window."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_celery.watch.families import Key

MINUTE = 60.0
"""The window of rates and quantiles, in seconds."""

SPACING = ((75.0, 5.0), (960.0, 60.0), (3_900.0, 300.0))
"""Up to which age, in seconds, how far apart copies of the totals are kept; older ones are let go."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The totals at one moment."""

    at: float
    totals: Mapping[Key, float]


class Totals:
    """How much each counter has risen since the watch began; a counter's new beginning does not lower it."""

    def __init__(self, at: float) -> None:
        """Begin with nothing at a moment of the monotonic clock."""
        self._now: dict[Key, float] = {}
        self._kept = [Kept(at, {})]
        self._words: defaultdict[str, list[Key]] = defaultdict(list)
        self._bounds: defaultdict[Key, set[float]] = defaultdict(set)
        self._starts: dict[float, Kept] = {}
        self._is_begun = False
        self.at = at

    def add(self, keys: Iterable[Key], rise: float) -> None:
        """Add a rise to each of the keys."""
        now = self._now
        for key in keys:
            try:
                now[key] += rise
            except KeyError:
                now[key] = rise
                self._words[str(key[0])].append(key)

    def meet(self, key: Key) -> None:
        """Learn that a key is a bucket's: its bound stands at the end."""
        self._bounds[key[:-1]].add(float(key[-1]))

    def keep(self, at: float) -> None:
        """Close a look at the endpoints: keep a copy of the totals for later windows; they begin with the first."""
        self.at = at
        self._starts.clear()
        if not self._is_begun:
            self._is_begun, self._kept = True, [Kept(at, dict(self._now))]
            return
        thinned: list[Kept] = []
        for kept in self._kept:
            spacing = next((apart for age, apart in SPACING if at - kept.at <= age), None)
            if spacing is not None and (not thinned or kept.at - thinned[-1].at >= spacing):
                thinned.append(kept)
        if not thinned or at - thinned[-1].at >= SPACING[0][1]:
            thinned.append(Kept(at, dict(self._now)))
        self._kept = thinned

    def seconds(self, window: float) -> float:
        """Tell how many seconds of a window were watched; a little more than it, where copies are far apart."""
        return self.at - self._before(window).at

    def total(self, key: Key) -> float:
        """Tell by how much a key has risen since the watch began."""
        return self._now.get(key, 0.0)

    def rise(self, key: Key, window: float) -> float:
        """Tell by how much a key has risen within a window of seconds."""
        return self._now.get(key, 0.0) - self._before(window).totals.get(key, 0.0)

    def rate(self, key: Key, window: float = MINUTE) -> float:
        """Tell a key's rise a second, of what was watched of the window; 0 where that is nothing yet."""
        seconds = self.seconds(window)
        return self.rise(key, window) / seconds if seconds else 0.0

    def buckets(self, key: Key, window: float = MINUTE) -> dict[float, float]:
        """Tell how much the buckets of a histogram have risen, cumulative, by their bounds."""
        now, before = self._now, self._before(window).totals
        return {
            bound: now.get((*key, bound), 0.0) - before.get((*key, bound), 0.0) for bound in self._bounds.get(key, ())
        }

    def summed(self, keys: Iterable[Key], window: float) -> dict[float, float]:
        """Add up the buckets of several histograms."""
        summed: dict[float, float] = {}
        for key in keys:
            for bound, number in self.buckets(key, window).items():
                summed[bound] = summed.get(bound, 0.0) + number
        return summed

    def owners(self, word: str) -> Iterable[Key]:
        """List the keys of a word that anything was added to."""
        return self._words.get(word, ())

    def _before(self, window: float) -> Kept:
        """Find the newest copy that is at least as old as the window; else the oldest one."""
        found = self._starts.get(window)
        if found is None:
            old = (kept for kept in reversed(self._kept) if self.at - kept.at >= window)
            found = self._starts[window] = next(old, self._kept[0])
        return found
