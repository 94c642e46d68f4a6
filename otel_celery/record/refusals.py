"""Count others' points that cannot be exported, once for each series, and log each metric once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otel_celery.lifecycle import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

SENTENCES = {
    Loss.NAME: "is not shown on the port, where its name is taken by another metric; give it a name of its own",
    Loss.LIMIT: "is not shown on the port, where there are too many names",
    Loss.MISMATCH: "has series that become one, and whose buckets, or kinds, are not the same: the first one is kept",
    Loss.VALUE: "has a value or a label that cannot be shown or sent, such as a text, an integer of hundreds of digits "
    "or, of a counter, NaN: that series is left out",
    Loss.UNSUPPORTED: "cannot be encoded by an exporter, and is not pushed by it",
}

EXPONENTIAL = (
    "is an exponential histogram by a view of the application's, which the Prometheus text format cannot show: the "
    "port leaves it out"
)

TOO_WIDE = "holds an integer beyond 64 bits, and is sent as a float"

MAX_REMEMBERED = 10_000
"""Series counted, and metrics logged, at most; a task that makes up names must not fill the log."""

logger = logging.getLogger("otel_celery")


class Refusals:
    """Counts and logs refused points, for all readers of one worker; the fork gate lets one collect at a time."""

    def __init__(self, lost: Callable[[Loss, int], None]) -> None:
        """``lost`` is called with a reason and a number of points."""
        self._lost = lost
        self._counted: set[Hashable] = set()
        self._said: set[Hashable] = set()
        self._is_full = False

    def __call__(self, reason: Loss, scope: str, name: str, series: Hashable = "", number: int = 1) -> None:
        """Count ``number`` points of a metric, and log it; each ``series`` of it is counted once."""
        self.count(reason, scope, name, series, number)
        self.warn(scope, name, SENTENCES[reason])

    def count(self, reason: Loss, scope: str, name: str, series: Hashable = "", number: int = 1) -> None:
        """Count ``number`` points of a metric without logging."""
        if self._is_new((reason, scope, name, series), self._counted):
            self._lost(reason, number)

    def warn(self, scope: str, name: str, sentence: str) -> None:
        """Log a sentence about a metric, once."""
        if self._is_new((sentence, scope, name), self._said):
            logger.warning("otel-celery: the metric %r of the meter %r %s", name, scope, sentence)

    def _is_new(self, what: Hashable, known: set[Hashable]) -> bool:
        if what in known:
            return False
        if len(known) >= MAX_REMEMBERED:
            if not self._is_full:
                self._is_full = True
                logger.warning(
                    "otel-celery: %d metrics or series are left out or changed already (see "
                    "otel_celery_relay_dropped_total); more are not counted, nor named",
                    MAX_REMEMBERED,
                )
            return False
        known.add(what)
        return True
