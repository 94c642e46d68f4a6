"""Observe one worker: its consumer, requests, pool children and levels.

It is installed at ``worker_init``, before any bootstep exists.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals
from kombu.utils.imports import symbol_by_name

from otel_celery import native
from otel_celery.lifecycle import OTHER, Outcome, Where, guarded
from otel_celery.observe import expected as routes
from otel_celery.observe import plain
from otel_celery.observe.children import Children
from otel_celery.observe.consumer import observed_consumer
from otel_celery.observe.fronts import Fronts
from otel_celery.observe.levels import Levels
from otel_celery.observe.life import is_observed, is_waiting, returned
from otel_celery.observe.queues import QueueNames
from otel_celery.observe.strays import Strays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from otel_celery.observe.request import Observed
    from otel_celery.observers import RunObserver, TaskObserver, WorkerObserver

MAX_KNOWN_ROUTES = 10_000
"""Cached (task, exchange, routing key, tag) keys, at most: publishers choose the routing keys."""


class Watch:
    """Observes one worker's main process on behalf of one observer."""

    def __init__(self, worker: Any, observer: WorkerObserver, runs: RunObserver | None = None) -> None:
        """Prepare to watch ``worker``, a WorkController; nothing is changed before :meth:`install`.

        ``runs`` follows single runs for their spans, and is None with spans off.
        """
        self.observer = observer
        self._fronts = Fronts(worker.app, self, runs)
        self.queues = QueueNames(worker)
        self.strays = Strays(observer)
        self.levels = Levels(worker, self.queues, self.strays, self._is_mine)
        self.children = Children(lambda: worker.pool, observer.process_exited)
        self._worker = worker
        self._app = worker.app
        self._is_on = False
        self._books: dict[tuple[str, str | None, str | None, str | None], TaskObserver] = {}
        self._connections = 0

    # -- hooking in ----------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Put our mixin before the worker's Consumer class; that puts others before the tasks' Request classes."""
        self._is_on = True
        self._worker.consumer_cls = observed_consumer(symbol_by_name(self._worker.consumer_cls), self)
        signals.worker_before_create_process.connect(self._on_new_process)  # weakly: the worker may never be started

    def uninstall(self) -> None:
        """Stop observing new requests. Requests under way keep reporting, so that each one received also ends."""
        self._is_on = False
        self._fronts.take_away()
        signals.worker_before_create_process.disconnect(self._on_new_process)

    def in_front(self) -> AbstractContextManager[None]:
        """Return a context in which our classes replace every task's Request while a consumer builds its strategies."""
        return self._fronts.in_front() if self._is_on else contextlib.nullcontext()

    def _is_mine(self, request: Any) -> bool:
        """Tell whether a request is this worker's: Celery keeps those of all workers of a process in the same sets."""
        return getattr(request, "_otel_watch", None) is self

    # -- reports of requests -------------------------------------------------------------------------------------

    def books_of(self, name: str, info: Mapping[str, Any]) -> TaskObserver | None:
        """Return the observer of a task on a queue, by the registered name: a ``shadow`` is free text."""
        if not self._is_on:
            return None
        exchange, routing_key, tag = info.get("exchange"), info.get("routing_key"), info.get("consumer_tag")
        if not (type(name) is type(exchange) is type(routing_key) is str and (tag is None or type(tag) is str)):
            name = plain.text(name) or OTHER
            exchange, routing_key, tag = plain.text(exchange), plain.text(routing_key), plain.text(tag)
        key = (name, exchange, routing_key, tag)
        books = self._books.get(key)
        if books is None:
            if len(self._books) >= MAX_KNOWN_ROUTES:
                self._books.clear()
            books = self._books[key] = self.observer.task(name, self.queues.of(exchange, routing_key, tag))
        return books

    def hold(self, request: Observed) -> None:
        """Hold a request with an ETA until it starts or ends."""
        self.levels.held.hold(request)

    def process_timed_out(self, pid: int | None) -> None:
        """Note that a child is being killed for its hard time limit."""
        self.children.timed_out(pid)

    # -- reports of the consumer ---------------------------------------------------------------------------------

    def ready(self) -> None:
        """Note that messages are consumed; the first time, report the tasks that this worker may receive."""
        first, self.levels.is_ready = not self.levels.is_ready, True
        self.levels.is_consuming = True
        if first and self._is_on:
            self.observer.expect(routes.expected(self._app, self.queues.consumed()))

    def connected(self) -> None:
        """Note the connection, and count it as a reconnection unless it is the first."""
        self.levels.is_connected = True
        self.strays.vanish_as = Outcome.UNREPORTED
        self.levels.turns.resumed()
        self._connections += 1
        if self._connections > 1:
            self.observer.reconnected()

    def disconnected(self) -> None:
        """Note the lost connection."""
        self.levels.is_connected = self.levels.is_consuming = False

    def limits_replaced(self, buckets: Iterable[Any]) -> None:
        """Note that the consumer is about to replace these rate-limit buckets."""
        self.levels.limits_replaced(buckets)

    def ticked(self) -> None:
        """Note that the event loop turned, and check the children."""
        self.levels.turns.turned()
        self.children.look()
        self.strays.say()
        if not getattr(self._worker.pool, "is_green", False):  # a green pool's loop runs greenlets by itself
            native.let_greenlets_run()

    def overdue(self) -> None:
        """Note that the event loop has not turned since the timer last asked it to."""
        self.levels.turns.overdue()

    def closing(self) -> Callable[[], None]:
        """Note the requests that wait for a slot, an ETA or a rate limit, before the consumer drops them.

        The caller calls the returned function once they are dropped.
        """
        reserved, held = ([*filter(is_observed, group)] for group in self.levels.waiting())
        neighbours = [*filter(is_observed, self.levels.neighbours())]
        self.strays.vanish_as = Outcome.RETURNED
        running = [*filter(is_observed, self.levels.running())]
        return partial(self._closed, neighbours, [*reserved, *self.levels.adrift], held, running)

    def _closed(self, neighbours: Iterable[Any], *groups: Iterable[Any]) -> None:
        self._settle(*groups)
        self.strays.vanish_as = Outcome.UNREPORTED
        for request in neighbours:  # their own worker's pool will still run them
            guarded(self.observer, Where.REQUEST, request._otel_watch.forgotten, request)

    def forgotten(self, request: Any) -> None:
        """Hold a request that Celery has dropped and our pool will still run, until it starts."""
        if request._otel_holder is not self.strays:  # strays track it until it ends
            self.levels.adrift.hold(request)
            if not is_waiting(request):  # another thread has started or ended it meanwhile
                self.levels.adrift.ended(request)

    def drained(self) -> None:
        """Note that the pool has drained: requests that still wait will not run here."""
        self.levels.has_drained = True
        self.children.look()
        waiting = [
            *self.levels.adrift,
            *self.strays,
            *(request for group in self.levels.waiting() for request in group),
        ]
        self._settle([], [request for request in waiting if is_observed(request) and is_waiting(request)], [])
        self.strays.say()

    def _settle(self, reserved: Iterable[Any], held: Iterable[Any], running: Iterable[Any]) -> None:
        """Note as returned the requests that the broker will deliver again; the pool will still run the others.

        Celery 5.4 also makes its pool forget the running requests, so that no callback reports their end.
        """
        for settle, requests in (
            (self._settle_reserved, reserved),
            (returned, held),
            (self._settle_running, running),
        ):
            for request in requests:
                guarded(self.observer, Where.REQUEST, settle, request)

    def _settle_reserved(self, request: Any) -> None:
        """Hold a reserved request if the pool will still run it, as the consumer drops it; else note it as returned."""
        if self._pool_will_run(request):
            self.forgotten(request)
        else:
            returned(request)

    def _settle_running(self, request: Any) -> None:
        if self._has_queue() and not self._pool_knows(request):
            returned(request)

    def _pool_will_run(self, request: Any) -> bool:
        if not self._has_queue():
            return True  # the pool was handed the request as soon as it was reserved
        return self._pool_knows(request) and request._apply_result()._write_to is not None

    def _has_queue(self) -> bool:
        """Tell whether requests wait in Celery for one of billiard's processes: only those of prefork do."""
        semaphore = getattr(self._worker, "semaphore", None)
        return semaphore is not None and getattr(self._worker.pool, "uses_semaphore", False)

    def _pool_knows(self, request: Any) -> bool:
        """Tell whether billiard still waits for this request's result; if not, no callback reports its end."""
        result = request._apply_result and request._apply_result()
        return result is not None and result._job in result._cache

    def _on_new_process(self, **_: object) -> None:
        """Check the children again once the new process exists, and before it can be gone."""
        guarded(self.observer, Where.CHILDREN, self.children.look)
        hub = getattr(self._worker, "hub", None)
        if hub is not None:
            hub.call_soon(guarded, self.observer, Where.CHILDREN, self.children.look)
