"""A live worker's levels, read from Celery's own state when a scrape asks, never kept by paired increments.

May be asked from any thread while the worker's changes the state: every collection is copied in one step of the
interpreter before it is looked at.
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
    """By identity: a class of the user's may compare and hash them as it likes."""

_STOPPED = (bootsteps.CLOSE, bootsteps.TERMINATE)


class Levels:
    """The levels of one worker; implements ``lifecycle.WorkerLevels``."""

    def __init__(
        self,
        worker: Any,
        queues: QueueNames,
        strays: Iterable[Any] = (),
        is_mine: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        """Read the levels of ``worker``, a WorkController, whose requests ``is_mine`` tells from other workers'.

        ``strays`` are requests that Celery need not know.
        """
        self._worker = worker
        self._queues = queues
        self._strays = strays
        self._is_mine = is_mine
        self.held = Held()
        """Requests with an ETA that have not started: until it comes, nothing but Celery's timer refers to them."""
        self.adrift = Held()
        """Requests that the consumer has forgotten and the pool will still run."""
        self.is_ready = False
        self.has_drained = False
        self.is_connected = False
        self.is_consuming = False
        self.turns = Turns(worker, self.active)
        self._buckets: list[Any] = []
        """Those of rate limits that were replaced while requests waited in them: Celery's timer still empties them."""

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
        """Count the requests received that wait for a free slot, or that a task's own Strategy keeps."""
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
        """List the requests of other workers of this process that wait for a slot: each consumer forgets all of them.

        Celery keeps them in one set, which whoever loses its connection, or ends, empties.
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
        """Tell, for each task name that is running, the age in seconds of its oldest run."""
        now, ages = time.monotonic(), dict[str, float]()
        for request in self.running():
            accepted = accepted_at(request)
            if accepted is not None:
                name = plain.text(request.type) or OTHER
                ages[name] = max(ages.get(name, 0.0), now - accepted)
        return ages

    def last_loop(self) -> float | None:
        """Tell when the event loop last turned, or was held up by a full pool, by the machine's clock as it is now."""
        stall = self.loop_stall()
        return None if stall is None else time.time() - stall

    def loop_stall(self) -> float | None:
        """Tell for how long the loop has stood still; None before its first turn, and on solo, where tasks hold it."""
        return None if self._pool_kind() == "solo" else self.turns.stall()

    def broker_connected(self) -> bool:
        """Tell whether the consumer has its broker connection."""
        return self.is_connected

    def consuming(self) -> bool:
        """Tell whether messages are consumed over the connection that stands."""
        return self.is_consuming

    def queues(self) -> Iterable[str]:
        """Name the queues that this worker consumes."""
        return list(self._queues.consumed())

    def info(self) -> Mapping[str, str]:
        """Describe the worker."""
        return {
            "pool_kind": self._pool_kind(),
            "concurrency": str(self._worker.concurrency),
            "celery_version": celery.__version__,
            "otel_celery_version": __version__,
        }

    def _pool_kind(self) -> str:
        """Name the pool's class by Celery's alias for it, else as ``module:Class``."""
        cls = self._worker.pool_cls
        path = cls if isinstance(cls, str) else f"{cls.__module__}:{cls.__qualname__}"
        return next((alias for alias, known in concurrency.ALIASES.items() if known == path), path)

    def _active(self) -> Requests:
        """Take those off whose end Celery never heard of, and add those that run where it does not look."""
        strays = [request for request in self._strays if not is_waiting(request)]
        return _by_identity(r for r in (*self._members(state.active_requests).values(), *strays) if is_active(r))

    def _reserved(self) -> Requests:
        """Take the active ones off, which Celery counts as reserved too, and those whose end it never heard of."""
        active, reserved = self._members(state.active_requests), self._members(state.reserved_requests)
        return {key: request for key, request in reserved.items() if key not in active and is_active(request)}

    def _held(self) -> Requests:
        """Hold a request with an ETA and a rate limit once, however many places it stands in."""
        consumer = getattr(self._worker, "consumer", None)
        buckets = [bucket for bucket in list(getattr(consumer, "task_buckets", {}).values()) if bucket]
        limited = [r for bucket in (*buckets, *self._buckets) for r, _ in list(bucket.contents) if is_active(r)]
        known = self._members(state.reserved_requests) | self._members(state.active_requests)
        return {key: each for key, each in _by_identity((*limited, *self.held)).items() if key not in known}

    def limits_replaced(self, buckets: Iterable[Any]) -> None:
        """Go on looking at buckets that the consumer is about to replace, for as long as anything is in them."""
        self._buckets = [bucket for bucket in (*self._buckets, *buckets) if bucket and bucket.contents]

    def _kept(self) -> list[Any]:
        """List the strays that wait, and are not waiting anywhere in Celery's own sight."""
        strays = [request for request in self._strays if is_waiting(request)]
        if not strays:
            return []
        known = self._members(state.reserved_requests) | self._members(state.active_requests) | self._held()
        return [request for request in strays if id(request) not in known]

    def _members(self, requests: Any) -> Requests:
        """Pick this worker's from a set that all workers of the process share."""
        return {key: request for key, request in _members(requests).items() if self._is_mine(request)}


def _members(requests: Any) -> Requests:
    """Copy a WeakSet while other threads change it.

    Iterating one raises when it changes size; copying the set beneath it does not let go of the interpreter.
    """
    return _by_identity(request for reference in list(requests.data) if (request := reference()) is not None)


def _by_identity(requests: Iterable[Any]) -> Requests:
    return {id(request): request for request in requests}
