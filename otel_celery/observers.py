"""The protocols by which a task's life is reported, and a worker's levels are read.

``observe`` (Celery's side) calls these protocols, and ``record`` and ``trace`` (OpenTelemetry's side) implement them.
Neither side imports the other. This module is imported where types are checked alone: each pool child would pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from otel_celery.lifecycle import ErrorObserver

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from contextlib import AbstractContextManager

    from otel_celery.lifecycle import Exit, Limit, Outcome, Revocation, Unknown

Reading = Callable[[], Iterable[tuple[float, Mapping[str, str]]]]
"""Reads one metric: a value and its labels for each series; called at each scrape and each push."""


class TaskObserver(Protocol):
    """Counts one task on one queue; every method is cheap, and all but ``received`` are thread-safe."""

    def received(self, *, redelivered: bool) -> None:
        """Count a request that was constructed, and whether the broker has delivered its message before.

        Only the consumer's thread calls this.
        """

    def started(self, waited: float, queued: float | None = None) -> None:
        """Count a request that the pool accepted ``waited`` seconds after its reception, or after a later ETA.

        ``queued`` is the time since its message was published, or since a later ETA; it is negative if the publisher's
        clock is ahead, and None if there is nothing to observe.
        """

    def ended(self, outcome: Outcome, duration: float | None, runtime: float | None) -> None:
        """Count the end of a request.

        ``duration`` is the time since acceptance in seconds, None if the request never started. ``runtime`` is the
        time in seconds that Celery measured, None unless the task succeeded.
        """

    def raised(self, exception: str) -> None:
        """Count the exception of a failed request, by its class name."""

    def revoked(self, reason: Revocation) -> None:
        """Count the revocation of a request, by its reason."""

    def timed_out(self, limit: Limit) -> None:
        """Count a time limit that a request reached."""

    def in_trace(self, carrier: Mapping[str, Any]) -> TaskObserver:
        """Return an observer for one request that records in the trace of its message's headers (``carrier``)."""


class WorkerObserver(ErrorObserver, Protocol):
    """Counts events of the worker as a whole, and has an observer for each task."""

    wants_traces: bool
    """Whether ``in_trace`` is to be called for each request, which exemplars need; it costs time."""

    def task(self, name: str, queue: str) -> TaskObserver:
        """Return the observer of the task ``name`` on ``queue``, once a message for it has come."""

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Set counters to zero for pairs of task name and queue, before any such task comes."""

    def message_unknown(self, reason: Unknown) -> None:
        """Count a message that never became a task."""

    def process_exited(self, reason: Exit) -> None:
        """Count a pool child that ended."""

    def reconnected(self) -> None:
        """Count a broker connection that the consumer lost and has again."""


class PublishObserver(Protocol):
    """Counts what one app publishes; any thread may call it."""

    def published(self, name: Any, queue: Any, seconds: float, exception: str | None) -> None:
        """Count one publish that took ``seconds``, and the class of the exception that it failed with, if it did.

        ``name`` and ``queue`` may be anything that the publisher takes for the name of a task or a queue.
        """

    def swallowed(self, error: Exception) -> None:
        """Note an exception of ours that was kept from the publisher; log the first."""


class RunObserver(Protocol):
    """Follows single runs in the main process, to report those whose pool child was killed before it could.

    ``headers`` are the headers of the task's message, as the child that runs the task will see them.
    """

    def received(self, headers: MutableMapping[str, Any]) -> None:
        """Note a new request; headers that are added here reach the child."""

    def within(self, headers: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Make the run the parent of the messages that are published inside this context."""

    def lost(self, headers: Mapping[str, Any], started: float, error: BaseException, outcome: Outcome) -> None:
        """Report a run that ``error`` ended from outside, such as the loss of its process.

        The run began at ``started``, in seconds since the epoch. May be called from inside an OS signal handler.
        """


class BeatObserver(Protocol):
    """Counts what beat sends, by the names of tasks, which may be any text; each method may be called in any thread."""

    def expect(self, names: Iterable[str]) -> None:
        """Set counters to zero for the tasks of a schedule, before any of them is sent."""

    def sent(self, name: str, lag: float | None) -> None:
        """Count a task that was sent ``lag`` seconds after its entry was due; None where that cannot be told."""

    def failed(self, name: str) -> None:
        """Count an attempt to send a task that failed."""


class BeatLevels(Protocol):
    """The state of a scheduler, read at a scrape or for a probe; no method raises, and any thread may call them."""

    def last_tick(self) -> float | None:
        """Return when the scheduler last showed that it lives, in seconds since the epoch; None before it ticked."""

    def entries(self) -> int | None:
        """Count the entries of the schedule; None where the scheduler does not say."""

    def silence(self) -> float | None:
        """Return for how many seconds the scheduler has not shown that it lives; None before it ticked."""

    def longest_sleep(self) -> float:
        """Return the longest time that the scheduler sleeps between two ticks, in seconds."""

    def waits_for_broker(self) -> bool:
        """Tell whether the scheduler is trying to reach the broker, and has failed to."""


class WorkerLevels(Protocol):
    """The gauges of a live worker, read at a scrape; no method raises, and any thread may call them."""

    def up(self) -> bool:
        """Tell whether the worker is ready, and its pool has not yet drained."""

    def draining(self) -> bool:
        """Tell whether the consumer has stopped consuming for good."""

    def active(self) -> int:
        """Count the tasks being executed now."""

    def reserved(self) -> int:
        """Count the requests received that wait for a free slot."""

    def scheduled(self) -> int:
        """Count the requests held for an ETA or a rate limit."""

    def pool_size(self) -> int:
        """Count the slots that the pool has now."""

    def oldest_active(self) -> Mapping[str, float]:
        """Return the age in seconds of the oldest run of each task name that is running."""

    def last_loop(self) -> float | None:
        """Return when the event loop last turned, in seconds since the epoch; None before the first turn."""

    def loop_stall(self) -> float | None:
        """Return the seconds for which the event loop has stood still with a free slot; None before the first turn."""

    def broker_connected(self) -> bool:
        """Tell whether the consumer has its broker connection."""

    def consuming(self) -> bool:
        """Tell whether the consumer consumes over its current connection."""

    def queues(self) -> Iterable[str]:
        """Name the queues that this worker consumes."""

    def info(self) -> Mapping[str, str]:
        """Return the attributes of ``celery.worker.info``, without ``worker``."""
