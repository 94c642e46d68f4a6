"""What beat sent, by task: plain integers under a lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from otel_celery import catalogue
from otel_celery.lifecycle import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_celery.catalogue import Metric
    from otel_celery.observers import BeatLevels, Reading
    from otel_celery.record.histograms import Recorder
    from otel_celery.record.labels import Labels


class EntryTally:
    """The counts of one task."""

    __slots__ = ("attributes", "failures", "record_lag", "sent")

    def __init__(self, attributes: Mapping[str, str], record_lag: Callable[[float], None]) -> None:
        """Begin at zero."""
        self.attributes = attributes
        self.record_lag = record_lag
        self.sent = self.failures = 0


class BeatTallies:
    """The counts of one beat; implements ``observers.BeatObserver``.

    The lock is reentrant: beat's signal handlers run in the thread that sends.
    """

    def __init__(self, labels: Labels, series: Callable[[Metric, Mapping[str, str]], Recorder]) -> None:
        """Begin at zero; ``labels`` clean the names of tasks, and ``series`` opens one of a histogram."""
        self._labels = labels
        self._series = series
        self._lock = threading.RLock()
        self._tasks: dict[str, EntryTally] = {}
        self._expected: tuple[str, ...] = ()

    def expect(self, names: Iterable[str]) -> None:
        """Show the tasks of a schedule at zero for as long as they fit in the bounds; forget those of an earlier one.

        They take no place among the label values before they are sent.
        """
        labels = self._labels
        self._expected = tuple(
            dict.fromkeys(OTHER if labels.is_left_out(name) else labels.clean(name) for name in names)
        )

    def sent(self, name: str, lag: float | None) -> None:
        """Count a task that was sent ``lag`` seconds after its entry was due."""
        with self._lock:
            task = self._task(name)
            task.sent += 1
            if lag is not None:
                task.record_lag(lag)

    def failed(self, name: str) -> None:
        """Count an attempt that failed."""
        with self._lock:
            self._task(name).failures += 1

    def readings(self, levels: BeatLevels) -> dict[Metric, Reading]:
        """Return how each of beat's metrics is read, but for the histogram, which is recorded."""
        return {
            catalogue.BEAT_LAST_TICK: lambda: _one(levels.last_tick()),
            catalogue.BEAT_ENTRIES: lambda: _one(levels.entries()),
            catalogue.BEAT_SENT: lambda: self._each(lambda task: task.sent),
            catalogue.BEAT_FAILURES: lambda: self._each(lambda task: task.failures),
        }

    def _each(self, count: Callable[[EntryTally], int]) -> Iterator[tuple[float, Mapping[str, str]]]:
        with self._lock:
            tasks, places = dict(self._tasks), self._labels.places("task_name")
        yield from ((count(task), task.attributes) for task in tasks.values())
        for label in self._expected:
            if label not in tasks and places.have(label):
                places.take(label)
                yield 0, {"task_name": label}

    def _task(self, name: str) -> EntryTally:
        label = self._labels.task_name(name)
        if label not in self._tasks:
            attributes = {"task_name": label}
            self._tasks[label] = EntryTally(attributes, self._series(catalogue.BEAT_LAG, attributes).record)
        return self._tasks[label]


def _one(value: float | None) -> list[tuple[float, Mapping[str, str]]]:
    return [] if value is None else [(value, {})]
