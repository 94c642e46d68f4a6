"""The words that the rooms share: how a task's life is told, and to whom.

Observation (Celery's side) tells; recording (OpenTelemetry's side) listens; neither imports the other.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping
    from contextlib import AbstractContextManager

OTHER = "other"
"""The label value for what cannot be told, or was folded because a bound was reached."""


class Outcome(str, Enum):
    """How one request ended; the value is the ``status`` label, save for RETURNED, which has a metric of its own."""

    __hash__ = str.__hash__  # Enum's is written in Python, and would be called for each task

    SUCCESS = "success"
    FAILURE = "failure"
    RETRY = "retry"
    REJECTED = "rejected"
    IGNORED = "ignored"
    REVOKED = "revoked"
    UNREPORTED = "unreported"
    """The task's own Strategy let go of the request, and told Celery's Request of no end."""
    RETURNED = "returned"
    """Given back un-run: the message is constructed again, here or elsewhere. Not an end of the task."""


class Revocation(str, Enum):
    """Why a task was revoked: the ``reason`` label."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    TERMINATED = "terminated"


class Limit(str, Enum):
    """Which time limit a task ran into: the ``limit`` label."""

    SOFT = "soft"
    HARD = "hard"


class Unknown(str, Enum):
    """Why a message never became a task: the ``reason`` label."""

    UNKNOWN_TASK = "unknown_task"
    UNDECODABLE = "undecodable"
    INVALID = "invalid"


class Exit(str, Enum):
    """How a pool child went: the ``reason`` label."""

    RECYCLED = "recycled"
    KILLED = "killed"
    EXITED = "exited"
    TIMED_OUT = "timed_out"


class Loss(str, Enum):
    """Why something that a task recorded with OpenTelemetry is not shown: the ``reason`` label."""

    TORN = "torn"
    """The child was killed while it sent it."""
    MALFORMED = "malformed"
    LIMIT = "limit"
    MISMATCH = "mismatch"
    UNSUPPORTED = "unsupported"
    VALUE = "value"
    """A number or a label of it is an object that cannot be made plain."""
    NAME = "name"
    """Its name is taken on the port."""


class Where(str, Enum):
    """Where an exception of ours was kept from the worker: the ``where`` label."""

    REQUEST = "request"
    CONSUMER = "consumer"
    CHILDREN = "children"
    RELAY = "relay"
    LEVELS = "levels"
    PORT = "port"
    PUSH = "push"


class TaskObserver(Protocol):
    """Keeps the books of one task on one queue; every method is cheap, and all but ``received`` are thread-safe."""

    def received(self, *, redelivered: bool) -> None:
        """Note a request that was constructed, and whether the broker delivered its message before.

        Called by the consumer's thread alone.
        """

    def started(self, waited: float) -> None:
        """Note that the pool accepted a request, ``waited`` seconds after it could have run."""

    def ended(self, outcome: Outcome, duration: float | None, runtime: float | None) -> None:
        """Note a request's end.

        ``duration`` is in seconds from acceptance, None if it never started; ``runtime`` is Celery's own
        measure in seconds, which successes alone have.
        """

    def raised(self, exception: str) -> None:
        """Note the class name of the exception that a failed request ended with."""

    def revoked(self, reason: Revocation) -> None:
        """Note why a request that ended as revoked was."""

    def timed_out(self, limit: Limit) -> None:
        """Note that a request ran into a time limit."""

    def in_trace(self, carrier: Mapping[str, Any]) -> TaskObserver:
        """Give the same books for one request, whose message's headers carry a trace for what is observed of it."""


class WorkerObserver(Protocol):
    """Hears what concerns the worker as a whole, and opens the books of each task."""

    wants_traces: bool
    """Whether each request is to be told of ``in_trace``; it costs time, and few want it."""

    def task(self, name: str, queue: str) -> TaskObserver:
        """Open, or find, the books of the task registered as ``name`` on ``queue``, of which there was a message."""

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Note the names and queues of tasks that may come: their counters are to stand at zero before they do."""

    def message_unknown(self, reason: Unknown) -> None:
        """Note a message that never became a task."""

    def process_exited(self, reason: Exit) -> None:
        """Note a pool child that went."""

    def reconnected(self) -> None:
        """Note that the consumer's broker connection came back."""

    def swallowed(self, where: Where, error: Exception) -> None:
        """Note an exception of ours that was kept from the worker: logged once a place, counted always."""


class RunObserver(Protocol):
    """Follows single runs in the main process, for the sake of those that a pool child does not live to tell of.

    ``headers`` are those of the task's message, as the child that runs it will see them.
    """

    def received(self, headers: MutableMapping[str, Any]) -> None:
        """Note a new request; what is added to the headers reaches the child."""

    def within(self, headers: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Have whatever is published meanwhile belong to the run."""

    def lost(self, headers: Mapping[str, Any], started: float, error: BaseException, outcome: Outcome) -> None:
        """Tell of a run that began at ``started``, in seconds since the epoch, and that ``error`` ended from outside.

        May be called from inside an OS signal handler.
        """


class WorkerLevels(Protocol):
    """A live worker's levels, read when a scrape asks; never raises, and may be asked from any thread."""

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
        """Tell, for each task name that is running, the age in seconds of its oldest run."""

    def last_loop(self) -> float | None:
        """Tell when the event loop last turned, in seconds since the epoch; None before the first turn."""

    def loop_stall(self) -> float | None:
        """Tell for how many seconds it has stood still though the pool had a free slot; None before the first turn."""

    def broker_connected(self) -> bool:
        """Tell whether the consumer has its broker connection."""

    def consuming(self) -> bool:
        """Tell whether messages are consumed over the connection that stands."""

    def queues(self) -> Iterable[str]:
        """Name the queues that this worker consumes."""

    def info(self) -> Mapping[str, str]:
        """Describe the worker: the attributes of ``celery.worker.info`` besides ``worker``."""


def guarded(observer: WorkerObserver, where: Where, report: Callable[..., None], *args: object) -> None:
    """Report to a recorder, keeping any exception of ours from the worker.

    ``where`` names the place for the log line and the ``where`` label of otel_celery_internal_errors_total.
    """
    try:
        report(*args)
    except Exception as error:  # noqa: BLE001  whatever it is, the task must not see it
        observer.swallowed(where, error)
