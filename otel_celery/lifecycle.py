"""The vocabulary that the packages share: label values as enums, and the guard around our own exceptions.

The protocols by which a task's life is reported in these words are in ``observers``.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = "other"
"""The label value for a name that is not known, or was folded because a bound was reached."""

SENT_HEADER = "otel_celery_sent"
"""The message header with the time of publishing, in seconds since the epoch."""


class Outcome(str, Enum):
    """The end of one request: the ``status`` label, save for RETURNED, which has a metric of its own."""

    __hash__ = str.__hash__  # Enum's own is slow Python code, and would run for each task

    SUCCESS = "success"
    FAILURE = "failure"
    RETRY = "retry"
    REJECTED = "rejected"
    IGNORED = "ignored"
    REVOKED = "revoked"
    UNREPORTED = "unreported"
    """The task's own Strategy dropped the request, and called none of its callbacks."""
    RETURNED = "returned"
    """Given back to the broker before it ran, so that the message is delivered again. Not an end of the task."""


class Revocation(str, Enum):
    """The reason of a revocation: the ``reason`` label of celery_task_revoked_total."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    TERMINATED = "terminated"


class Limit(str, Enum):
    """The time limit that a task reached: the ``limit`` label of celery_task_timeouts_total."""

    SOFT = "soft"
    HARD = "hard"


class Unknown(str, Enum):
    """The reason why a message never became a task: the ``reason`` label of celery_messages_unknown_total."""

    UNKNOWN_TASK = "unknown_task"
    UNDECODABLE = "undecodable"
    INVALID = "invalid"


class Exit(str, Enum):
    """The end of a pool child: the ``reason`` label of celery_worker_process_exits_total."""

    RECYCLED = "recycled"
    KILLED = "killed"
    EXITED = "exited"
    TIMED_OUT = "timed_out"


class Loss(str, Enum):
    """The reason why a task's data point is dropped: the ``reason`` label of otel_celery_relay_dropped_total."""

    TORN = "torn"
    """The child was killed while it sent the point."""
    MALFORMED = "malformed"
    """The main process could not read the message of a child."""
    LIMIT = "limit"
    """There are too many instruments, or names on the port."""
    MISMATCH = "mismatch"
    """Two points of one series have different bucket bounds, or are of different kinds."""
    UNSUPPORTED = "unsupported"
    """The point is an exponential histogram where none can be shown, or an exporter cannot encode it."""
    VALUE = "value"
    """A number or a label of the point is an object that cannot be made plain."""
    NAME = "name"
    """Another metric has the point's name on the port."""


class Where(str, Enum):
    """The place where an exception of ours was swallowed: the ``where`` label of otel_celery_internal_errors_total."""

    REQUEST = "request"
    CONSUMER = "consumer"
    CHILDREN = "children"
    RELAY = "relay"
    LEVELS = "levels"
    PORT = "port"
    PUSH = "push"
    PUBLISH = "publish"
    QUEUES = "queues"
    BEAT = "beat"


class ErrorObserver(Protocol):
    """Counts exceptions of ours."""

    def swallowed(self, where: Where, error: Exception) -> None:
        """Count an exception of ours that was kept from the host; log the first one of each place."""


def guarded(observer: ErrorObserver, where: Where, report: Callable[..., object], *args: object) -> None:
    """Call ``report`` with ``args``, and keep any exception of ours from the host.

    ``where`` names the place in the log line, and is the ``where`` label of otel_celery_internal_errors_total.
    """
    try:
        report(*args)
    except Exception as error:  # noqa: BLE001  no exception of ours may reach the task
        observer.swallowed(where, error)
