"""What is told of a fleet at one moment: plain, frozen values, which screens and scripts show.

Rates are a second and, as the quantiles, of the last minute or what was watched of it; durations are in seconds;
None stands for what is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """How a worker is."""

    UP = "up"
    STARTING = "not ready"
    DRAINING = "draining"
    NO_BROKER = "no broker"
    STUCK = "stuck"
    AWAY = "not answering"
    FOREIGN = "not ours"


TROUBLED = frozenset({State.NO_BROKER, State.STUCK, State.AWAY, State.FOREIGN})
"""The states in which a worker takes no tasks, and should."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker behind an endpoint."""

    url: str
    name: str
    """Its node name; the endpoint's address where it never told one."""
    pool: str
    state: State
    why: str = ""
    """Why it is not up; empty if it is."""
    kind: str = ""
    """Celery's name of its pool, such as ``prefork``."""
    celery: str = ""
    otel_celery: str = ""
    """The versions."""
    started: float | None = None
    """When its process started, in seconds since the epoch."""
    active: int | None = None
    size: int | None = None
    reserved: int | None = None
    scheduled: int | None = None
    received: float = 0.0
    succeeded: float = 0.0
    failed: float = 0.0
    retried: float = 0.0
    p50: float | None = None
    p95: float | None = None
    oldest: float | None = None
    """The age of its oldest running task."""
    oldest_task: str = ""
    exits: int | None = None
    """Children of its pool that ended since it started."""
    exits_by_reason: tuple[tuple[str, int], ...] = ()
    restarts: int = 0
    """How often its process was found to be another one, since the watch began."""
    queues: tuple[str, ...] = ()
    recent: tuple[float, ...] = ()
    """Ended tasks a second, at each of the last looks, the newest last."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a pool, over all its workers."""

    name: str
    pool: str
    received: float = 0.0
    rate: float = 0.0
    """Its ends, of each kind."""
    succeeded: float = 0.0
    failed: float = 0.0
    retried: float = 0.0
    failure_ratio: float | None = None
    """The share of failures among successes and failures; None where there was neither."""
    p50: float | None = None
    p95: float | None = None
    wait: float | None = None
    """The 95th percentile of the wait for a slot, since publishing where that is told, else since received."""
    last_success: float | None = None
    """When it last succeeded, in seconds since the epoch."""
    exception: str = ""
    """The class of exception with which it fails most, within the last hour that was watched; else since the start."""
    oldest: float | None = None
    """The age of its oldest run."""
    recent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue, by what the broker tells and by who consumes it."""

    name: str
    length: int | None = None
    unacked: int | None = None
    oldest: float | None = None
    """The age of its oldest message."""
    consumers: int | None = None
    """By the broker's word, else the workers here that consume it."""
    received: float = 0.0
    wait: float | None = None
    """The 95th percentile of how long messages waited."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat."""

    url: str
    pool: str
    entries: int | None = None
    tick: float | None = None
    """Seconds since it last looked at its schedule."""
    sent: float = 0.0
    unsent: float = 0.0
    lag: float | None = None
    """The 95th percentile of how late it sends."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a problem is about; what is empty is not part of it."""

    worker: str = ""
    pool: str = ""
    task: str = ""
    queue: str = ""
    detail: str = ""
    """What else tells it apart, such as a reason."""
    url: str = ""

    def __str__(self) -> str:
        """Name it in a few words."""
        queue, pool = (f"queue {self.queue}" if self.queue else ""), (f"pool {self.pool}" if self.pool else "")
        named = self.task or self.worker or queue or pool
        return f"{named} ({self.detail})" if named and self.detail else named or self.detail


@dataclass(frozen=True, slots=True)
class Problem:
    """An alert's condition that holds now."""

    alert: str
    severity: str
    subject: Subject
    figure: str
    """The figure in words."""
    since: float
    """Seconds for which it has held, as far as it was watched."""
    after: float
    """Seconds after which the alert fires."""
    look: str
    command: str
    """The runbook's first step, and its command; empty if there is none."""
    do: str
    section: str
    """The runbook's, where it says more."""

    @property
    def is_firing(self) -> bool:
        """Tell whether it has held for as long as the alert waits."""
        return self.since >= self.after


@dataclass(frozen=True, slots=True)
class Note:
    """What no line of a table can say: of an endpoint without workers, or of what tells endpoints."""

    name: str
    """Of the kind, such as ``NoTargets``."""
    place: str
    """An address, or a file."""
    sentence: str
    do: str


@dataclass(frozen=True, slots=True)
class View:
    """A fleet at one moment."""

    at: float
    """Seconds since the epoch."""
    watched: float
    """Seconds since the watch began."""
    workers: tuple[Worker, ...] = ()
    tasks: tuple[Task, ...] = ()
    queues: tuple[Queue, ...] = ()
    beats: tuple[Beat, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()
    asked: int = 0
    """Endpoints."""
    answered: int = 0
    runbook: str = ""
    """Where a port that answered serves the runbook; empty if none did."""

    def more(self, section: str) -> str:
        """Tell where a section of the runbook can be read: on a port that answered, else by what command."""
        return f"{self.runbook}#{section.lower()}" if self.runbook else f"otel-celery runbook {section}"

    @property
    def is_well(self) -> bool:
        """Tell whether nothing is wrong, and everything that was to be asked has answered."""
        return not self.problems and not self.notes
