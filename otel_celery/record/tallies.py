"""Counters of each task and of the worker: plain integers under a lock.

The locks are reentrant because a cold shutdown cancels requests inside the OS signal handler, at any line of the main
thread. No instrument of the SDK is used there.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otel_celery import catalogue
from otel_celery.lifecycle import OTHER, Exit, Limit, Loss, Outcome, Revocation, Unknown, Where
from otel_celery.record.histograms import UNRECORDED
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
    """The counters of one task on one queue; implements ``lifecycle.TaskObserver``."""

    __slots__ = (
        "attributes",
        "ends",
        "exceptions",
        "label_exception",
        "last_success",
        "lock",
        "received_count",
        "record_duration",
        "record_queue_wait",
        "record_runtime",
        "record_wait",
        "redelivered_count",
        "revocations",
        "skew_count",
        "started_count",
        "timeouts",
    )

    def __init__(
        self, attributes: Mapping[str, str], histograms: Histograms, label_exception: Callable[[str], str]
    ) -> None:
        """Begin at zero; ``attributes`` are worker, task_name and queue."""
        self.attributes = attributes
        self.label_exception = label_exception
        self.lock = threading.RLock()
        self.received_count = self.redelivered_count = self.started_count = self.skew_count = 0
        self.ends = dict.fromkeys(Outcome, 0)
        self.revocations = dict.fromkeys(Revocation, 0)
        self.timeouts = dict.fromkeys(Limit, 0)
        self.exceptions: dict[str, int] = {}
        self.last_success: float | None = None
        # The bound methods, since each is called once a task.
        self.record_duration = histograms.series(catalogue.DURATION, attributes).record
        self.record_runtime = histograms.series(catalogue.RUNTIME, attributes).record
        self.record_queue_wait = histograms.series(catalogue.QUEUE_WAIT, attributes).record
        self.record_wait = histograms.series(catalogue.PREFETCH_WAIT, attributes).record

    def received(self, *, redelivered: bool) -> None:
        """Count a request that was constructed; without the lock, since only one thread constructs requests."""
        self.received_count += 1
        self.redelivered_count += redelivered

    def started(self, waited: float, queued: float | None = None) -> None:
        """Count a request that the pool accepted."""
        with self.lock:
            self.started_count += 1
            self.record_wait(waited)
            if queued is not None:
                if queued < 0.0:
                    self.skew_count += 1
                    queued = 0.0
                self.record_queue_wait(queued)

    def ended(self, outcome: Outcome, duration: float | None, runtime: float | None) -> None:
        """Count a request's end."""
        with self.lock:
            self.ends[outcome] += 1
            if outcome is _SUCCESS:
                self.last_success = time.time()
                if runtime is not None:
                    self.record_runtime(runtime)
            elif outcome is Outcome.RETURNED:
                return
            if duration is not None:
                self.record_duration(duration)

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
    """The counters of one worker; implements ``lifecycle.WorkerObserver``."""

    def __init__(self, worker: str, bounds: Bounds, histograms: Histograms, *, wants_traces: bool = False) -> None:
        """Begin at zero for the worker with this node name; ``wants_traces`` if the histograms have exemplars."""
        self.wants_traces = wants_traces
        self.labels = Labels(bounds, self.fold)
        self.worker = self.labels.clean(worker)
        self._max_pairs = PAIRS_PER_TASK_NAME * bounds.task_names
        self._histograms = histograms
        self._lock = threading.RLock()
        self._tasks: dict[tuple[str, str], TaskTally] = {}
        self._zeros = Zeros(self.labels, self._max_pairs)
        self._at_zero: list[TaskTally] | None = []
        self._said: set[object] = set()
        self.unknown = dict.fromkeys(Unknown, 0)
        self.exits = dict.fromkeys(Exit, 0)
        self.errors = dict.fromkeys(Where, 0)
        self.losses = dict.fromkeys(Loss, 0)
        self.folded = dict.fromkeys(("task_name", "exception", "queue"), 0)
        self.reconnects = 0
        self.is_closed = False

    def tasks(self) -> list[TaskTally]:
        """List the counters of all tasks that occurred, and at zero those of expected tasks that fit in the bounds."""
        with self._lock:
            if self._at_zero is None:
                self._at_zero = [self._book(pair, UNRECORDED) for pair in self._zeros.fitting(self._tasks.keys())]
            return [*self._tasks.values(), *self._at_zero]

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Show these tasks and queues at zero for as long as they fit in the bounds."""
        with self._lock:
            self._zeros.expect(pairs)
            self._at_zero = None
            late = len(self._zeros) - len(self._zeros.fitting(()))
        if late and self._say_once("late"):
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
                self.fold("queue")
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
        with self._lock:
            self.errors[where] += 1
        with suppress(Exception):  # a user's exception may raise when it is written, and a user's log handler too
            if self._say_once((where, id(type(error)))):  # its class may not be hashable
                logger.error(
                    "otel-celery: an error of its own (%s) was kept from the worker; some metrics may be missing. "
                    "It is logged once; otel_celery_internal_errors_total counts on.",
                    where.value,
                    exc_info=error,
                )

    def fold(self, what: str) -> None:
        """Count a label value that was folded into ``other``, and log the first of its kind."""
        with self._lock:
            self.folded[what] += 1
        if self._say_once(what):
            logger.warning(
                "otel-celery: too many different values of %s: further ones are counted as %r "
                "(see the OTEL_PYTHON_CELERY_MAX_* settings)",
                what,
                OTHER,
            )

    def _say_once(self, what: object) -> bool:
        with self._lock:
            new = what not in self._said
            self._said.add(what)
            return new
