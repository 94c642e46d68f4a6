"""Read the levels of a live worker, such as its active tasks, from Celery's own state at each scrape.

Nothing is incremented and decremented in pairs: one missed event would leave such a gauge wrong for good. A scrape may
come on any thread while the worker's thread changes the state. So every collection is copied first, in one step of the
interpreter.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import celery
from celery import bootsteps, concurrency
from celery.worker import state

from otel_celery.lifecycle import OTHER
from otel_celery.observe import plain
from otel_celery.observe.held import Held
from otel_celery.observe.life import accepted_at, is_active, is_waiting, runnable_at
from otel_celery.observe.turns import Turns
from otel_celery.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_celery.observe.queues import QueueNames

    Requests = dict[int, Any]
    """By identity, since a user's Request class may have its own ``__eq__`` and ``__hash__``."""

_STOPPED = (bootsteps.CLOSE, bootsteps.TERMINATE)


class Levels:
    """The levels of one worker; implements ``observers.WorkerLevels``."""

    def __init__(
        self,
        worker: Any,
        queues: QueueNames,
        strays: Iterable[Any] = (),
        is_mine: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        """Read the levels of ``worker``, a WorkController.

        ``strays`` are requests of which Celery may have no record. ``is_mine`` tells this worker's requests from those
        of other workers in the process.
        """
        self._worker = worker
        self._queues = queues
        self._strays = strays
        self._is_mine = is_mine
        self.held = Held()
        """Requests with an ETA that have not started: until they do, only Celery's timer refers to them."""
        self.adrift = Held()
        """Requests that the consumer has dropped and the pool will still run."""
        self.is_ready = False
        self.has_drained = False
        self.is_connected = False
        self.is_consuming = False
        self.turns = Turns(worker, self.active)
        self._buckets: list[Any] = []
        """Rate-limit buckets that were replaced while requests waited in them. Celery's timer still empties them."""

    def up(self) -> bool:
        """Tell whether the worker is ready, and its pool has not yet drained."""
        return self.is_ready and not self.has_drained

    def draining(self) -> bool:
        """Tell whether the consumer has stopped consuming for good."""
        if any(flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate)):
            return True
        blueprint = getattr(getattr(self._worker, "consumer", None), "blueprint", None)
        return getattr(blueprint, "state", None) in _STOPPED

    def active(self) -> int:
        """Count the tasks being executed now."""
        return len(self._active())

    def reserved(self) -> int:
        """Count the received requests that wait for a free slot, or in a task's custom Strategy."""
        now, adrift = time.monotonic(), _by_identity(request for request in self.adrift if is_waiting(request))
        return len(self._reserved() | adrift | _by_identity(r for r in self._kept() if runnable_at(r) <= now))

    def scheduled(self) -> int:
        """Count the requests held for an ETA or a rate limit."""
        now = time.monotonic()
        return len(self._held() | _by_identity(request for request in self._kept() if runnable_at(request) > now))

    def waiting(self) -> tuple[list[Any], list[Any]]:
        """List the requests that wait for a slot, and those held for an ETA or a rate limit, as Celery knows them."""
        return list(self._reserved().values()), list(self._held().values())

    def neighbours(self) -> list[Any]:
        """List the requests of other workers of this process that wait for a slot.

        Celery keeps all of them in one set, and a consumer empties it when it loses its connection or ends.
        """
        active = _members(state.active_requests)
        reserved = _members(state.reserved_requests).items()
        return [each for key, each in reserved if key not in active and not self._is_mine(each)]

    def running(self) -> list[Any]:
        """List the requests that are being executed now."""
        return list(self._active().values())

    def pool_size(self) -> int:
        """Count the slots that the pool has now."""
        return int(getattr(self._worker.pool, "num_processes", None) or 0)

    def oldest_active(self) -> Mapping[str, float]:
        """Return, for each running task name, the age in seconds of its oldest run."""
        now, ages = time.monotonic(), dict[str, float]()
        for request in self.running():
            accepted = accepted_at(request)
            if accepted is not None:
                name = plain.text(request.type) or OTHER
                ages[name] = max(ages.get(name, 0.0), now - accepted)
        return ages

    def last_loop(self) -> float | None:
        """Return when the event loop last turned, in seconds since the epoch; None as for :meth:`loop_stall`.

        Time during which a full pool holds up the loop counts as turns. Computed from the machine's current clock.
        """
        stall = self.loop_stall()
        return None if stall is None else time.time() - stall

    def loop_stall(self) -> float | None:
        """Return for how many seconds the event loop has stood still.

        None before its first turn, and on the solo pool, where each task occupies the loop.
        """
        return None if self._pool_kind() == "solo" else self.turns.stall()

    def broker_connected(self) -> bool:
        """Tell whether the consumer has its broker connection."""
        return self.is_connected

    def consuming(self) -> bool:
        """Tell whether messages are consumed over the current connection."""
        return self.is_consuming

    def queues(self) -> Iterable[str]:
        """Name the queues that this worker consumes: none once it has stopped for good, whatever it still runs."""
        return [] if self.draining() else list(self._queues.consumed())

    def info(self) -> Mapping[str, str]:
        """Return the attributes of ``celery.worker.info`` besides ``worker``."""
        return {
            "pool_kind": self._pool_kind(),
            "concurrency": str(self._worker.concurrency),
            "celery_version": celery.__version__,
            "otel_celery_version": __version__,
        }

    def _pool_kind(self) -> str:
        """Return Celery's alias for the pool's class, else ``module:Class``."""
        cls = self._worker.pool_cls
        path = cls if isinstance(cls, str) else f"{cls.__module__}:{cls.__qualname__}"
        return next((alias for alias, known in concurrency.ALIASES.items() if known == path), path)

    def _active(self) -> Requests:
        """Return the running requests: Celery's active ones that have not ended, and the strays that run."""
        strays = [request for request in self._strays if not is_waiting(request)]
        return _by_identity(r for r in (*self._members(state.active_requests).values(), *strays) if is_active(r))

    def _reserved(self) -> Requests:
        """Return Celery's reserved requests, without the active ones, which it lists there too, and the ended ones."""
        active, reserved = self._members(state.active_requests), self._members(state.reserved_requests)
        return {key: request for key, request in reserved.items() if key not in active and is_active(request)}

    def _held(self) -> Requests:
        """Return the requests held for an ETA or a rate limit; one that is held for both is counted once."""
        consumer = getattr(self._worker, "consumer", None)
        buckets = [bucket for bucket in list(getattr(consumer, "task_buckets", {}).values()) if bucket]
        limited = [r for bucket in (*buckets, *self._buckets) for r, _ in list(bucket.contents) if is_active(r)]
        known = self._members(state.reserved_requests) | self._members(state.active_requests)
        return {key: each for key, each in _by_identity((*limited, *self.held)).items() if key not in known}

    def limits_replaced(self, buckets: Iterable[Any]) -> None:
        """Keep reading rate-limit buckets that the consumer is about to replace, until they are empty."""
        self._buckets = [bucket for bucket in (*self._buckets, *buckets) if bucket and bucket.contents]

    def _kept(self) -> list[Any]:
        """List the waiting strays of which Celery has no record."""
        strays = [request for request in self._strays if is_waiting(request)]
        if not strays:
            return []
        known = self._members(state.reserved_requests) | self._members(state.active_requests) | self._held()
        return [request for request in strays if id(request) not in known]

    def _members(self, requests: Any) -> Requests:
        """Pick this worker's requests from a set that all workers of the process share."""
        return {key: request for key, request in _members(requests).items() if self._is_mine(request)}


def _members(requests: Any) -> Requests:
    """Copy a WeakSet that other threads change.

    Iterating over a WeakSet raises if its size changes. Copying the set inside it is one step of the interpreter.
    """
    return _by_identity(request for reference in list(requests.data) if (request := reference()) is not None)


def _by_identity(requests: Iterable[Any]) -> Requests:
    return {id(request): request for request in requests}
