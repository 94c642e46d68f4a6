"""The books: what is counted of each task and of the worker, as plain integers under a lock.

The locks are reentrant because a cold shutdown cancels requests from inside the OS signal handler, on whatever line
the main thread happens to be; no instrument of the SDK is touched there.
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
"""How many (task, queue) pairs there may be for each task name that is allowed; a task seldom has two queues.

Beyond that each name has one more, on ``other``: it is the queue that is folded, and the task keeps its name.
"""

_SUCCESS = Outcome.SUCCESS
"""Looked up for each task, and faster than as a member of the enumeration."""


class TaskTally:
    """The books of one task on one queue; implements ``lifecycle.TaskObserver``."""

    __slots__ = (
        "attributes",
        "ends",
        "exceptions",
        "label_exception",
        "last_success",
        "lock",
        "received_count",
        "record_duration",
        "record_runtime",
        "record_wait",
        "redelivered_count",
        "revocations",
        "started_count",
        "timeouts",
    )

    def __init__(
        self, attributes: Mapping[str, str], histograms: Histograms, label_exception: Callable[[str], str]
    ) -> None:
        """Open the books at zero; ``attributes`` are worker, task_name and queue."""
        self.attributes = attributes
        self.label_exception = label_exception
        self.lock = threading.RLock()
        self.received_count = self.redelivered_count = self.started_count = 0
        self.ends = dict.fromkeys(Outcome, 0)
        self.revocations = dict.fromkeys(Revocation, 0)
        self.timeouts = dict.fromkeys(Limit, 0)
        self.exceptions: dict[str, int] = {}
        self.last_success: float | None = None
        # The bound methods, since each is called once a task.
        self.record_duration = histograms.series(catalogue.DURATION, attributes).record
        self.record_runtime = histograms.series(catalogue.RUNTIME, attributes).record
        self.record_wait = histograms.series(catalogue.PREFETCH_WAIT, attributes).record

    def received(self, *, redelivered: bool) -> None:
        """Count a request that was constructed; without the lock, since one thread alone constructs them."""
        self.received_count += 1
        self.redelivered_count += redelivered

    def started(self, waited: float) -> None:
        """Count a request that the pool accepted."""
        with self.lock:
            self.started_count += 1
            self.record_wait(waited)

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
        """Count why a request was revoked."""
        with self.lock:
            self.revocations[reason] += 1

    def timed_out(self, limit: Limit) -> None:
        """Count a time limit that was reached."""
        with self.lock:
            self.timeouts[limit] += 1

    def in_trace(self, carrier: Mapping[str, Any]) -> Traced:
        """Have one request's observations recorded in the trace that its message's headers carry."""
        return Traced(self, carrier)


class Tallies:
    """The books of one worker; implements ``lifecycle.WorkerObserver``."""

    def __init__(self, worker: str, bounds: Bounds, histograms: Histograms, *, wants_traces: bool = False) -> None:
        """Open the books of the worker with this node name; ``wants_traces`` if the histograms have exemplars."""
        self.wants_traces = wants_traces
        self.labels = Labels(bounds, self._fold)
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
        """List the books of all tasks: of those that occurred, and at zero of those expected that find a place."""
        with self._lock:
            if self._at_zero is None:
                self._at_zero = [self._book(pair, UNRECORDED) for pair in self._zeros.fitting(self._tasks.keys())]
            return [*self._tasks.values(), *self._at_zero]

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Show the books of these tasks and queues at zero, for as long as there are places that nothing else needs."""
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
        """Open, or find, the books of one task on one queue."""
        with self._lock:
            pair = (self.labels.task_name(name), self.labels.queue(queue))
            if pair not in self._tasks and len(self._tasks) >= self._max_pairs:
                self._fold("queue")
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
        """Count a pool child that went."""
        with self._lock:
            self.exits[reason] += 1

    def metrics_dropped(self, reason: Loss, number: int) -> None:
        """Count points that tasks recorded and nobody will see."""
        with self._lock:
            self.losses[reason] += number

    def reconnected(self) -> None:
        """Count a broker connection that came back."""
        with self._lock:
            self.reconnects += 1

    def swallowed(self, where: Where, error: Exception) -> None:
        """Count an exception of ours, and log it the first time that its kind occurs in this place."""
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

    def _fold(self, what: str) -> None:
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
