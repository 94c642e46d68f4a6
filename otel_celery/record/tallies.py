"""The counters of one worker: plain integers under a lock, and the books of its tasks within their bounds.

The lock is reentrant because a cold shutdown cancels requests inside the OS signal handler, at any line of the main
thread. No instrument of the SDK is used there.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from otel_celery.lifecycle import OTHER, Exit, Loss, Unknown, Where
from otel_celery.record.errors import Errors
from otel_celery.record.folding import Folding
from otel_celery.record.histograms import UNRECORDED
from otel_celery.record.labels import Labels
from otel_celery.record.task import TaskTally
from otel_celery.record.zeros import Zeros

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.record.histograms import Histograms
    from otel_celery.settings.settings import Bounds

logger = logging.getLogger("otel_celery")

PAIRS_PER_TASK_NAME = 4
"""Pairs of task and queue, at most, for each task name that is allowed; a task seldom has two queues.

Beyond the bound a task keeps its name and its queue becomes ``other``, which is one more pair for each name.
"""


class Tallies:
    """The counters of one worker; implements ``observers.WorkerObserver``."""

    def __init__(self, worker: str, bounds: Bounds, histograms: Histograms, *, wants_traces: bool = False) -> None:
        """Begin at zero for the worker with this node name; ``wants_traces`` if the histograms have exemplars."""
        self.began = time.time()
        self.wants_traces = wants_traces
        self.folded = Folding()
        self.labels = Labels(bounds, self.folded)
        self.worker = self.labels.clean(worker)
        self._max_pairs = PAIRS_PER_TASK_NAME * bounds.task_names
        self._histograms = histograms
        self._lock = threading.RLock()
        self._tasks: dict[tuple[str, str], TaskTally] = {}
        self._zeros = Zeros(self.labels, self._max_pairs)
        self._at_zero: list[TaskTally] | None = []
        self._zero_books: dict[tuple[str, str], TaskTally] = {}
        self._is_late = False
        self.unknown = dict.fromkeys(Unknown, 0)
        self.exits = dict.fromkeys(Exit, 0)
        self.errors = Errors()
        self.losses = dict.fromkeys(Loss, 0)
        self.reconnects = 0
        self.is_closed = False

    def tasks(self) -> list[TaskTally]:
        """List the counters of all tasks that occurred, and at zero those of expected tasks that fit in the bounds."""
        with self._lock:
            if self._at_zero is None:
                kept, fitting = self._zero_books, self._zeros.fitting(self._tasks.keys())
                self._zero_books = {pair: kept.get(pair) or self._book(pair, UNRECORDED) for pair in fitting}
                self._at_zero = [*self._zero_books.values()]
            return [*self._tasks.values(), *self._at_zero]

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Show these tasks and queues at zero for as long as they fit in the bounds."""
        with self._lock:
            self._zeros.expect(pairs)
            self._at_zero = None
            late = len(self._zeros) - len(self._zeros.fitting(()))
            is_new, self._is_late = bool(late) and not self._is_late, self._is_late or bool(late)
        if is_new:
            logger.warning(
                "otel-celery: the counters of %d of the %d tasks that worker %s may be sent do not stand at zero until "
                "they first run: OTEL_PYTHON_CELERY_MAX_TASK_NAMES has too few places",
                late,
                len(self._zeros),
                self.worker,
            )

    def task(self, name: str, queue: str) -> TaskTally:
        """Return the counters of one task on one queue, made at the first call."""
        with self._lock:
            pair = (self.labels.task_name(name), self.labels.queue(queue))
            if pair not in self._tasks and len(self._tasks) >= self._max_pairs:
                self.folded("queue")
                pair = (pair[0], OTHER)
            if pair not in self._tasks:
                self._tasks[pair] = self._book(pair, self._histograms)
                self._at_zero = None
            return self._tasks[pair]

    def _book(self, pair: tuple[str, str], histograms: Histograms) -> TaskTally:
        attributes = {"worker": self.worker, "task_name": pair[0], "queue": pair[1]}
        return TaskTally(attributes, histograms, self.labels.exception)

    def message_unknown(self, reason: Unknown) -> None:
        """Count a message that never became a task."""
        with self._lock:
            self.unknown[reason] += 1

    def process_exited(self, reason: Exit) -> None:
        """Count a pool child's exit."""
        with self._lock:
            self.exits[reason] += 1

    def metrics_dropped(self, reason: Loss, number: int) -> None:
        """Count points that tasks recorded and that are not exported."""
        with self._lock:
            self.losses[reason] += number

    def reconnected(self) -> None:
        """Count a broker connection that came back."""
        with self._lock:
            self.reconnects += 1

    def swallowed(self, where: Where, error: Exception) -> None:
        """Count an exception of ours, and log the first of its class in this place."""
        self.errors.swallowed(where, error)
