"""Everything observed of one worker, and how it is hooked in: at ``worker_init``, before any bootstep exists."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals
from kombu.utils.imports import symbol_by_name

from otel_celery.lifecycle import Where, guarded
from otel_celery.observe import routes
from otel_celery.observe.children import Children
from otel_celery.observe.consumer import observed_consumer
from otel_celery.observe.followed import followed
from otel_celery.observe.levels import Levels
from otel_celery.observe.life import is_observed, returned
from otel_celery.observe.queues import QueueNames
from otel_celery.observe.request import observed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_celery.lifecycle import RunObserver, TaskObserver, WorkerObserver
    from otel_celery.observe.request import Observed

MAX_KNOWN_ROUTES = 10_000
"""How many (task, exchange, routing key, tag) are remembered: routing keys are the publishers' to choose."""


class Watch:
    """Observes one worker's main process on behalf of one observer."""

    def __init__(self, worker: Any, observer: WorkerObserver, runs: RunObserver | None = None) -> None:
        """Prepare to watch ``worker``, a WorkController; nothing is touched before :meth:`install`.

        ``runs`` follows single runs, where there is somebody to tell of them.
        """
        self.observer = observer
        self._runs = runs
        self.queues = QueueNames(worker)
        self.levels = Levels(worker, self.queues)
        self.children = Children(lambda: worker.pool, observer.process_exited)
        self._worker = worker
        self._app = worker.app
        self._is_on = False
        self._books: dict[tuple[str, str | None, str | None, str | None], TaskObserver] = {}
        self._originals: list[tuple[Any, Any]] = []
        self._connections = 0

    # -- hooking in ----------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Put our classes in front of the worker's Request and Consumer classes."""
        self._is_on = True
        self._worker.consumer_cls = observed_consumer(symbol_by_name(self._worker.consumer_cls), self)
        self._put_in_front(self._app.Task)
        signals.worker_before_create_process.connect(self._on_new_process, weak=False)

    def uninstall(self) -> None:
        """Leave later requests unobserved; those under way keep reporting, so that the books stay balanced."""
        self._is_on = False
        signals.worker_before_create_process.disconnect(self._on_new_process)
        while self._originals:
            owner, original = self._originals.pop()
            if original is None:
                del owner.Request
            else:
                owner.Request = original

    def compose(self) -> None:
        """Observe the tasks that do not inherit the app's Request: those with their own, or with another base."""
        if not self._is_on:
            return
        for task in list(self._app.tasks.values()):
            self._put_in_front(task)

    def _put_in_front(self, owner: Any) -> None:
        base = symbol_by_name(owner.Request)
        request_class = observed(base, self)
        if self._runs is not None:
            request_class = followed(request_class, self._runs)
        if request_class is not base:
            self._originals.append((owner, vars(owner).get("Request")))
            owner.Request = request_class

    # -- what requests tell --------------------------------------------------------------------------------------

    def books_of(self, name: str, info: Mapping[str, Any]) -> TaskObserver | None:
        """Find the books of a task by its registered name, never by a ``shadow``, which is free text."""
        if not self._is_on:
            return None
        exchange, routing_key, tag = info.get("exchange"), info.get("routing_key"), info.get("consumer_tag")
        key = (name, exchange, routing_key, tag)
        books = self._books.get(key)
        if books is None:
            if len(self._books) >= MAX_KNOWN_ROUTES:
                self._books.clear()
            books = self._books[key] = self.observer.task(name, self.queues.of(exchange, routing_key, tag))
        return books

    def hold(self, request: Observed) -> None:
        """Remember a request with an ETA until it starts or ends."""
        self.levels.held.add(request)

    def let_go(self, request: Observed) -> None:
        """Forget a request that was held."""
        self.levels.held.discard(request)

    def process_timed_out(self, pid: int | None) -> None:
        """Note that a child is being killed for its hard time limit."""
        self.children.timed_out(pid)

    # -- what the consumer tells ---------------------------------------------------------------------------------

    def ready(self) -> None:
        """Note that messages are consumed; the first time, tell which tasks are to be expected."""
        first, self.levels.is_ready = not self.levels.is_ready, True
        self.levels.is_consuming = True
        if first and self._is_on:
            self.observer.expect(routes.expected(self._app, self.queues.consumed()))

    def connected(self) -> None:
        """Note the connection, and whether it is one that came back."""
        self.levels.is_connected = True
        self.levels.turns.resumed()
        self._connections += 1
        if self._connections > 1:
            self.observer.reconnected()

    def disconnected(self) -> None:
        """Note the lost connection."""
        self.levels.is_connected = self.levels.is_consuming = False

    def ticked(self) -> None:
        """Note that the event loop turned, and look after the children."""
        self.levels.turns.turned()
        self.children.look()

    def overdue(self) -> None:
        """Note that the event loop has not turned since the timer last asked it to."""
        self.levels.turns.overdue()

    def closing(self) -> Callable[[], None]:
        """Note which requests wait for a slot, an ETA or a rate limit, before the consumer forgets them."""
        reserved, held = (filter(is_observed, group) for group in self.levels.waiting())
        return partial(self._settle, list(reserved), list(held), list(filter(is_observed, self.levels.running())))

    def drained(self) -> None:
        """Note that the pool has drained: whatever still waits will not run here."""
        self.levels.has_drained = True
        self.children.look()
        adrift, self.levels.adrift = self.levels.adrift, set()
        self._settle([], [*adrift, *(r for group in self.levels.waiting() for r in group if is_observed(r))], [])

    def _settle(self, reserved: Iterable[Any], held: Iterable[Any], running: Iterable[Any]) -> None:
        """Tell the requests that are given back from those that the pool has been given and will still run.

        Celery 5.4 makes its pool forget the running ones too: nobody will hear of their end.
        """
        for request in reserved:
            if self._pool_will_run(request):
                self.levels.adrift.add(request)
            else:
                returned(request)
        for request in held:
            returned(request)
        for request in running:
            if self._has_queue() and not self._pool_knows(request):
                returned(request)

    def _pool_will_run(self, request: Any) -> bool:
        if not self._has_queue():
            return True  # the pool was handed the request as soon as it was reserved
        return self._pool_knows(request) and request._apply_result()._write_to is not None

    def _has_queue(self) -> bool:
        """Tell whether requests wait in Celery for one of billiard's processes, which prefork alone does."""
        semaphore = getattr(self._worker, "semaphore", None)
        return semaphore is not None and getattr(self._worker.pool, "uses_semaphore", False)

    def _pool_knows(self, request: Any) -> bool:
        """Tell whether billiard still waits for this request's result; without its note it runs unheard of."""
        result = request._apply_result and request._apply_result()
        return result is not None and result._job in result._cache

    def _on_new_process(self, **_: object) -> None:
        """Look again once the process that is about to be made stands, and before it can be gone."""
        guarded(self.observer, Where.CHILDREN, self.children.look)
        hub = getattr(self._worker, "hub", None)
        if hub is not None:
            hub.call_soon(guarded, self.observer, Where.CHILDREN, self.children.look)
