"""The counters of one task on one queue: plain integers under a lock.

Starts and successes have no counter of their own, and take no lock: each is an observation of a histogram, whose number
is their count.

The lock is reentrant because a cold shutdown cancels requests inside the OS signal handler, at any line of the main
thread. No instrument of the SDK is used there.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from otel_celery import catalogue
from otel_celery.lifecycle import Limit, Outcome, Revocation
from otel_celery.record.histograms import MANY
from otel_celery.record.traced import Traced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.record.histograms import Histograms

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
