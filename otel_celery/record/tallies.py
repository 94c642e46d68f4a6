"""Counters of each task and of the worker: plain integers under a lock.

Starts and successes have no counter of their own, and take no lock: each is an observation of a histogram, whose number
is their count.

The locks are reentrant because a cold shutdown cancels requests inside the OS signal handler, at any line of the main
thread. No instrument of the SDK is used there.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from otel_celery import catalogue
from otel_celery.lifecycle import OTHER, Exit, Limit, Loss, Outcome, Revocation, Unknown, Where
from otel_celery.record.errors import Errors
from otel_celery.record.folding import Folding
from otel_celery.record.histograms import MANY, UNRECORDED
from otel_celery.record.labels import Labels
from otel_celery.record.traced import Traced
from otel_celery.record.zeros import Zeros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_celery.record.histograms import Histograms
    from otel_celery.settings.settings import Bounds

logger = logging.getLogger("otel_celery")

PAIRS_PER_TASK_NAME = 4
"""Pairs of task and queue, at most, for each task name that is allowed; a task seldom has two queues.

Beyond the bound a task keeps its name and its queue becomes ``other``, which is one more pair for each name.
"""

_SUCCESS = Outcome.SUCCESS
"""A module global is looked up faster than an enum member, and this one is read for each task."""


class TaskTally:
    """The counters of one task on one queue; implements ``observers.TaskObserver``."""

    __slots__ = (
        "_ends",
        "_histograms",
        "_labelled",
        "_note_duration",
        "_note_queue_wait",
        "_note_runtime",
        "_note_wait",
        "_runtime",
        "_wait",
        "attributes",
        "exceptions",
        "label_exception",
        "last_success",
        "lock",
        "received_count",
        "redelivered_count",
        "revocations",
        "skew_count",
        "timeouts",
    )

    def __init__(
        self, attributes: Mapping[str, str], histograms: Histograms, label_exception: Callable[[str], str]
    ) -> None:
        """Begin at zero; ``attributes`` are worker, task_name and queue."""
        self.attributes = attributes
        self._labelled: dict[tuple[str, str], Mapping[str, str]] = {}
        self.label_exception = label_exception
        self.lock = threading.RLock()
        self.received_count = self.redelivered_count = self.skew_count = 0
        self._ends = dict.fromkeys(Outcome, 0)
        self.revocations = dict.fromkeys(Revocation, 0)
        self.timeouts = dict.fromkeys(Limit, 0)
        self.exceptions: dict[str, int] = {}
        self.last_success: float | None = None
        of_task = (catalogue.DURATION, catalogue.RUNTIME, catalogue.QUEUE_WAIT, catalogue.PREFETCH_WAIT)
        self._histograms = duration, runtime, queue_wait, wait = [histograms.series(m, attributes) for m in of_task]
        self._wait, self._runtime = wait, runtime
        # Functions, since each is called for each task.
        self._note_wait, self._note_queue_wait = wait.note, queue_wait.note
        self._note_duration, self._note_runtime = duration.note, runtime.note

    def labelled(self, label: str, value: str) -> Mapping[str, str]:
        """Return the attributes with one label more: each time the same object."""
        known = self._labelled.get((label, value))
        if known is None:
            known = self._labelled[label, value] = {**self.attributes, label: str.__str__(value)}
        return known

    @property
    def started_count(self) -> int:
        """The number of starts: each has been observed with its wait."""
        return self._wait.count()

    @property
    def ends(self) -> dict[Outcome, int]:
        """The number of ends of each kind."""
        return {outcome: self.ended_count(outcome) for outcome in Outcome}

    def ended_count(self, outcome: Outcome) -> int:
        """Count the ends of one kind: most successes have been observed with their runtime, and are counted there."""
        return self._ends[outcome] + (self._runtime.count() if outcome is _SUCCESS else 0)

    def received(self, *, redelivered: bool) -> None:
        """Count a request that was constructed; without the lock, since only one thread constructs requests."""
        self.received_count += 1
        if redelivered:
            self.redelivered_count += 1
        if not self.received_count % MANY:
            for histogram in self._histograms:
                histogram.count()

    def started(self, waited: float, queued: float | None = None) -> None:
        """Count a request that the pool accepted; without the lock, as the end of a success, which pays for both."""
        note = self._note_wait  # a method that is an attribute is called faster by a name of its own
        note(waited)
        if queued is not None:
            if queued < 0.0:
                with self.lock:
                    self.skew_count += 1
                queued = 0.0
            note = self._note_queue_wait
            note(queued)

    def ended(self, outcome: Outcome, duration: float | None, runtime: float | None) -> None:
        """Count a request's end."""
        if outcome is _SUCCESS:
            self.last_success = time.time()
        if outcome is _SUCCESS and runtime is not None:
            note = self._note_runtime
            note(runtime)
        else:
            with self.lock:
                self._ends[outcome] += 1
        if duration is not None and outcome is not Outcome.RETURNED:
            note = self._note_duration
            note(duration)

    def raised(self, exception: str) -> None:
        """Count the exception of a failed request."""
        label = self.label_exception(exception)
        with self.lock:
            self.exceptions[label] = self.exceptions.get(label, 0) + 1

    def revoked(self, reason: Revocation) -> None:
        """Count a revoked request by its reason."""
        with self.lock:
            self.revocations[reason] += 1

    def timed_out(self, limit: Limit) -> None:
        """Count a time limit that was reached."""
        with self.lock:
            self.timeouts[limit] += 1

    def in_trace(self, carrier: Mapping[str, Any]) -> Traced:
        """Return an observer that records one request's observations in the trace of its message's headers."""
        return Traced(self, carrier)


class Tallies:
    """The counters of one worker; implements ``observers.WorkerObserver``."""

    def __init__(self, worker: str, bounds: Bounds, histograms: Histograms, *, wants_traces: bool = False) -> None:
        """Begin at zero for the worker with this node name; ``wants_traces`` if the histograms have exemplars."""
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
