"""A recorder that remembers, and the little of a worker and a pool that requests need: no mocks.

A life is told in short words, in the order in which it is reported: ``received``, ``started``, ``ended success``.
"""

from __future__ import annotations

import itertools
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from celery import Celery, bootsteps
from celery.worker import WorkController
from celery.worker.request import create_request_cls
from kombu.message import Message
from kombu.serialization import dumps

from otel_celery.observe.held import Held
from otel_celery.observe.request import observed
from otel_celery.observers import TaskObserver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_celery.lifecycle import Exit, Limit, Outcome, Revocation, Unknown, Where
    from otel_celery.observers import WorkerObserver


class Book:
    """The books of one task: each report is a word in the recorder's life."""

    def __init__(self, life: list[str], pair: tuple[str, str]) -> None:
        """Write into a life."""
        self.life, self.pair = life, pair
        self.waits: list[float] = []
        self.queued: list[float | None] = []
        self.durations: list[float | None] = []
        self.runtimes: list[float | None] = []

    def received(self, *, redelivered: bool) -> None:
        """Write it down."""
        self.life.append("received again" if redelivered else "received")

    def started(self, waited: float, queued: float | None = None) -> None:
        """Write it down."""
        self.life.append("started")
        self.waits.append(waited)
        self.queued.append(queued)

    def ended(self, outcome: Outcome, duration: float | None, runtime: float | None) -> None:
        """Write it down."""
        self.life.append(f"ended {outcome.value}")
        self.durations.append(duration)
        self.runtimes.append(runtime)

    def raised(self, exception: str) -> None:
        """Write it down."""
        self.life.append(f"raised {exception}")

    def revoked(self, reason: Revocation) -> None:
        """Write it down."""
        self.life.append(f"revoked {reason.value}")

    def timed_out(self, limit: Limit) -> None:
        """Write it down."""
        self.life.append(f"timed out {limit.value}")

    def in_trace(self, carrier: Mapping[str, Any]) -> Book:
        """Write down which trace, and keep the books."""
        self.life.append(f"in trace {carrier.get('traceparent')}")
        return self


OPENING = {"received", "in_trace"}
"""What opens the books of a request."""


class BrokenBook(Book):
    """Books that cannot be written, once they have been opened."""

    def __init__(self, life: list[str], pair: tuple[str, str]) -> None:
        """Have all other methods of the protocol raise."""
        super().__init__(life, pair)
        for name in vars(TaskObserver).keys() - OPENING:
            if not name.startswith("_"):
                setattr(self, name, self.fail)

    def fail(self, *_: object, **__: object) -> None:
        """Fail."""
        raise LookupError("the books are lost")


class Recorder:
    """Remembers what it is told; implements ``observers.WorkerObserver``."""

    def __init__(self, book: type[Book] = Book) -> None:
        """Have heard nothing."""
        self.wants_traces = False
        self.life: list[str] = []
        self.books: dict[tuple[str, str], Book] = {}
        self.errors: list[Exception] = []
        self.expected: list[tuple[str, str]] = []
        self._kind = book

    def task(self, name: str, queue: str) -> Book:
        """Open, or find, the books of a task."""
        return self.books.setdefault((name, queue), self._kind(self.life, (name, queue)))

    def expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Write them down."""
        self.expected += pairs

    def message_unknown(self, reason: Unknown) -> None:
        """Write it down."""
        self.life.append(f"unknown {reason.value}")

    def process_exited(self, reason: Exit) -> None:
        """Write it down."""
        self.life.append(f"exited {reason.value}")

    def reconnected(self) -> None:
        """Write it down."""
        self.life.append("reconnected")

    def swallowed(self, where: Where, error: Exception) -> None:
        """Write it down."""
        self.life.append(f"swallowed {where.value}")
        self.errors.append(error)


class FakeWatch:
    """What observed requests lean on."""

    def __init__(self, book: type[Book] = Book) -> None:
        """Hold nothing."""
        self.recorder = Recorder(book)
        self.observer: WorkerObserver = self.recorder
        self._held = Held()
        self.pids: list[int | None] = []

    @property
    def held(self) -> list[Any]:
        """List what is held."""
        return list(self._held)

    def books_of(self, name: str, info: Mapping[str, Any]) -> Book | None:
        """Find the books of the task, on a queue of its own."""
        del info
        return self.recorder.task(name, "q")

    def hold(self, request: Any) -> None:
        """Hold."""
        self._held.hold(request)

    def process_timed_out(self, pid: int | None) -> None:
        """Remember the child."""
        self.pids.append(pid)


class FakePool:
    """A pool that remembers what it was handed, and does with a job what the test says."""

    def __init__(self) -> None:
        """Have no job."""
        self.jobs: list[dict[str, Any]] = []
        self.killed: list[int] = []
        self.on_kill: Any = None

    def apply_async(self, target: Any, **options: Any) -> Any:
        """Take a job."""
        del target
        self.jobs.append(options)
        self.job = SimpleJob()
        return self.job

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """Kill a job's process or greenlet; a green pool calls back from in here."""
        del signal
        self.killed.append(pid)
        if self.on_kill is not None:
            self.on_kill()


class SimpleJob:
    """A job's result, as billiard has one."""

    def __init__(self) -> None:
        """Wait to be run."""
        self._job = next(NUMBERS)
        self._cache: dict[int, Any] = {self._job: self}
        self._write_to: Any = object()
        self.terminated: list[Any] = []

    def terminate(self, signal: Any) -> None:
        """Remember the signal."""
        self.terminated.append(signal)


NUMBERS = itertools.count(1)


class Worker(SimpleNamespace):
    """The little of a WorkController that is looked at."""

    def __init__(self, app: Celery, **others: Any) -> None:
        """Serve one app."""
        own: dict[str, Any] = {"app": app, "hostname": "w@h", "options": {}, "consumer": None, "pool": None}
        own["hub"] = None
        super().__init__(**(own | others))

    __hash__ = object.__hash__  # type: ignore[assignment]
    Blueprint = WorkController.Blueprint

    def on_init_blueprint(self) -> None:
        """Have logging set up already."""

    def stop(self) -> None:
        """End as a worker does that was started."""
        self.blueprint = SimpleNamespace(state=bootsteps.TERMINATE)


def make_app(**conf: Any) -> Celery:
    """Make an app of its own, on a broker in memory, that stores results in memory."""
    app = Celery("proj", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(conf)
    return app


def message_for(
    app: Celery,
    task: str,
    *,
    eta: Any = None,
    expires: Any = None,
    shadow: str | None = None,
    args: tuple[Any, ...] = (),
    more: Mapping[str, Any] | None = None,
    **info: Any,
) -> Message:
    """Make the message that a publisher would send."""
    number = next(NUMBERS)
    made = app.amqp.as_task_v2(f"id-{number}", task, args=args, shadow=shadow)
    headers = dict(made.headers, eta=eta, expires=expires, **(more or {}))
    kind, encoding, body = dumps(made.body, serializer="json")
    delivery = {"exchange": "", "routing_key": "celery", "redelivered": False} | info
    return Message(
        body=body,
        content_type=kind,
        content_encoding=encoding,
        headers=headers,
        properties=dict(made.properties),
        delivery_info=delivery,
        accept={"application/json"},
    )


def nothing() -> None:
    """Be a task."""


class Bench:
    """One app, one task, one pool, and requests made as Celery's strategy makes them."""

    def __init__(self, app: Celery | None = None, book: type[Book] = Book, **options: Any) -> None:
        """Register ``proj.add`` with these options."""
        self.app = app or make_app()
        self.task = self.app.task(shared=False, name="proj.add", **options)(nothing)
        self.watch = FakeWatch(book)
        self.pool = FakePool()
        self.events: list[str] = []
        self.acks: list[str] = []

    @property
    def life(self) -> list[str]:
        """Tell what was reported."""
        return self.watch.recorder.life

    @property
    def book(self) -> Book:
        """Show the task's books."""
        return self.watch.recorder.books["proj.add", "q"]

    def request_class(self, base: type | None = None, watch: Any = None) -> type:
        """Make the class as the worker's strategy does, of an observed base."""
        from celery.worker.request import Request

        return self.final_class(observed(base or Request, watch or self.watch))

    def final_class(self, base: type) -> type:
        """Make the class of a base, observed or not."""
        made: type = create_request_cls(base, self.task, self.pool, "w@h", None, app=self.app)
        return made

    def request(self, kind: type | None = None, **message: Any) -> Any:
        """Receive one message."""
        sent = message_for(self.app, "proj.add", **message)
        return (kind or self.request_class())(
            sent,
            on_ack=lambda *_: self.acks.append("ack"),
            on_reject=lambda _log, _errors, requeue: self.acks.append("requeue" if requeue else "reject"),
            app=self.app,
            hostname="w@h",
            task=self.task,
            connection_errors=(),
        )

    def started(self, request: Any = None, seconds: float = 0.0, pid: int = 4321) -> Any:
        """Have a request accepted by the pool, so many seconds ago."""
        request = request or self.request()
        request.on_accepted(pid, time.monotonic() - seconds)
        return request


def raised(error: BaseException) -> ExceptionInfo:
    """Raise an exception as a task does, and catch it as the pool does."""
    try:
        raise error  # noqa: TRY301  where a task raises is no matter here
    except BaseException:  # noqa: BLE001  SystemExit is among them
        return ExceptionInfo(sys.exc_info())
