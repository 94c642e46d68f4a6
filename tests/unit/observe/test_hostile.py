"""Whatever a user's object does when it is touched, the task ends and is acknowledged as on bare Celery."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task
from celery.exceptions import Ignore, Reject, Retry
from celery.worker import state
from celery.worker.request import Request
from kombu import Queue

from otel_celery.lifecycle import Where
from otel_celery.observe import plain
from otel_celery.observe.followed import followed
from otel_celery.observe.request import Observed
from otel_celery.record.tallies import Tallies
from otel_celery.settings.settings import Bounds
from tests.unit.observe.fakes import Bench, nothing
from tests.unit.observe.hostile import Worse, hostile
from tests.unit.observe.test_followed import Follower
from tests.unit.observe.test_watch import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ERRORS = pytest.mark.parametrize("error", [KeyError, AttributeError, RecursionError, Worse])
METAS = pytest.mark.parametrize("meta", [False, True], ids=["class", "metaclass"])


def failure(exception: BaseException) -> ExceptionInfo:
    """Hold an exception as the pool hands it over, without asking it anything."""
    made = ExceptionInfo.__new__(ExceptionInfo)
    made.type, made.exception, made.traceback, made.tb, made.internal = Exception, exception, "", None, False
    return made


def wrapped(exception: BaseException) -> Any:
    """Wrap an exception as a billiard child does."""
    made = ExceptionWithTraceback.__new__(ExceptionWithTraceback)
    made.exc, made.tb = exception, ""
    return made


def around(retry: Retry, exception: Any) -> Retry:
    """Have a Retry carry an exception."""
    retry.exc = exception
    return retry


ENDS = {
    "success": lambda request, error: request.on_success((0, error, 0.25)),
    "failure": lambda request, error: request.on_success((1, failure(error), None)),
    "wrapped": lambda request, error: request.on_success((1, failure(wrapped(error)), None)),
    "failure alone": lambda request, error: request.on_failure(failure(error), return_ok=True),
    "unannounced": lambda request, error: request.on_failure(failure(error), return_ok=False),
    "no tuple": lambda request, error: request.on_success(error),
    "no exception information": lambda request, error: request.on_failure(error),
    "runtime": lambda request, error: request.on_success((0, 42, error)),
    "retry for it": lambda request, error: request.on_failure(failure(around(Retry(), error)), return_ok=True),
    "reject for it": lambda request, error: request.on_failure(failure(Reject(error, requeue=True)), return_ok=True),
    "ignore for it": lambda request, error: request.on_failure(failure(Ignore(error)), return_ok=True),
    "exit with it": lambda request, error: request.on_failure(failure(SystemExit(error)), return_ok=False),
    "hard limit": lambda request, _: request.on_timeout(soft=False, timeout=1),
    "terminated": lambda request, _: request.terminate(Bench().pool, "TERM"),
    "cancelled": lambda request, _: request.cancel(Bench().pool),
    "given back": lambda request, _: request.reject(requeue=True),
}
"""Ends of what a pool has accepted."""


def run_here(request: Any, body: Callable[[], Any]) -> Any:
    """Have a request run this body itself, as the solo pool's may, and a Strategy's of somebody's own."""
    request.task.run, request.task.__trace__ = body, None
    return request.execute()


def throw(error: BaseException) -> Any:
    """Raise, as an expression."""
    raise error


@contextlib.contextmanager
def revoked(request: Any) -> Iterator[Any]:
    """Have a request be revoked, and forget it again."""
    state.revoked.add(request.id)
    try:
        yield request
    finally:
        state.revoked.discard(request.id)


@contextlib.contextmanager
def expired(request: Any) -> Iterator[Any]:
    """Have a request be an hour too late; Celery revokes it once it finds out."""
    request.expires = datetime.now(timezone.utc) - timedelta(hours=1)
    try:
        yield request
    finally:
        state.revoked.discard(request.id)


def on_arrival(late: Any) -> None:
    """Find out what a request is when it arrives, as Celery's own strategy does."""
    with late as request:
        assert request.revoked()


def in_the_pool(late: Any) -> None:
    """Find out when the pool is to have it."""
    with late as request:
        request.execute_using_pool(Bench().pool)


def in_here(late: Any, error: BaseException) -> None:
    """Find out when it is to run itself, which it does not do then."""
    with late as request:
        run_here(request, lambda: throw(error))


FIRST_ENDS = {
    "returned in here": lambda request, error: run_here(request, lambda: error),
    "raised in here": lambda request, error: run_here(request, lambda: throw(error)),
    "retry for it in here": lambda request, error: run_here(request, lambda: throw(around(Retry(), error))),
    "reject for it in here": lambda request, error: run_here(request, lambda: throw(Reject(error, requeue=True))),
    "ignore for it in here": lambda request, error: run_here(request, lambda: throw(Ignore(error))),
    "exit with it in here": lambda request, error: run_here(request, lambda: throw(SystemExit(error))),
    "revoked": lambda request, _: on_arrival(revoked(request)),
    "revoked in the pool": lambda request, _: in_the_pool(revoked(request)),
    "revoked in here": lambda request, error: in_here(revoked(request), error),
    "expired": lambda request, _: on_arrival(expired(request)),
    "expired in the pool": lambda request, _: in_the_pool(expired(request)),
    "expired in here": lambda request, error: in_here(expired(request), error),
}
"""Ends of what no pool has accepted: it runs itself, or never starts."""


def raised_by(bench: Bench, request: Any, name: str, exception: Any) -> str | None:
    """Bring a request to its end, and tell what Celery raised."""
    try:
        if name in ENDS:
            bench.started(request)
        (ENDS | FIRST_ENDS)[name](request, exception)
    except BaseException as error:  # noqa: BLE001  Worse is among them
        return type(error).__name__
    return None


def played(bench: Bench, request: Any, name: str, exception: Any) -> tuple[str | None, list[str], bool]:
    """Bring a request to its end, and tell what Celery raised and what became of the message."""
    return raised_by(bench, request, name, exception), bench.acks, bool(request.acknowledged)


TOLD = {
    **dict.fromkeys(("failure", "wrapped", "failure alone", "unannounced"), ("ended failure", "raised Hostile")),
    "exit with it in here": ("ended failure", "raised WorkerLostError"),
    **dict.fromkeys(("revoked", "revoked in the pool", "revoked in here"), ("ended revoked", "revoked revoked")),
    **dict.fromkeys(("expired", "expired in the pool", "expired in here"), ("ended revoked", "revoked expired")),
}


@ERRORS
@METAS
@pytest.mark.parametrize("acks_late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("name", [*ENDS, *FIRST_ENDS])
def test_each_end_is_bare_celerys(name: str, error: type[BaseException], meta: bool, acks_late: bool) -> None:  # noqa: FBT001
    """With an exception, a result or a runtime that raises from everything, Celery does what it does without us."""
    bare, watched, traced = (Bench(acks_late=acks_late) for _ in range(3))
    exception = hostile(Exception, error, meta=meta)()
    follower = Follower()
    expected = played(bare, bare.request(bare.final_class(Request)), name, exception)
    assert played(watched, watched.request(), name, exception) == expected
    kind = traced.final_class(followed(traced.request_class().__mro__[1], follower))
    assert played(traced, traced.request(kind), name, exception) == expected
    for bench in (watched, traced):
        assert [word for word in bench.life if word.startswith("ended")], "it ended, and that is counted"
        assert sum(word.startswith("ended") for word in bench.life) == 1
    if name in TOLD:
        assert tuple(word for word in watched.life if word not in {"received", "started"}) == TOLD[name]
        assert ("started" in watched.life) == ("revoked" not in TOLD[name][0])


@ERRORS
@pytest.mark.parametrize(
    ("base", "end"),
    [
        (Retry, "ended retry"),
        (Reject, "ended rejected"),
        (Ignore, "ended ignored"),
        (MemoryError, "ended failure"),
        (TimeLimitExceeded, "ended failure"),
        (WorkerLostError, "ended failure"),
        (SystemExit, "ended failure"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_hostile_child_of_celerys_own_exceptions_is_what_its_base_is(
    base: type[BaseException], end: str, error: type[BaseException]
) -> None:
    """Its class alone tells, not what it says of its class."""
    bare, bench = Bench(), Bench()
    exception = hostile(base, error)("x") if base is not TimeLimitExceeded else hostile(base, error)(1)
    expected = played(bare, bare.request(bare.final_class(Request)), "failure alone", exception)
    assert played(bench, bench.request(), "failure alone", exception) == expected
    assert bench.life[2] == end


def test_an_exception_that_lies_about_its_class_is_not_believed() -> None:
    """What says that it is a Retry, and is none, failed; a class may also be named with a str of its own."""

    class LiarError(Exception):
        """Says that it is a Retry."""

        __class__ = Retry

    LiarError.__name__ = hostile(str, KeyError)("Named")
    bench = Bench()
    with contextlib.suppress(AttributeError):  # Celery believes it
        bench.started().on_failure(failure(LiarError()), return_ok=True)
    assert bench.life[2:] == ["ended failure", "raised Named"]
    assert type(bench.life[3]) is str


MOMENTS = {"none": None, "nan": float("nan"), "int": 5, "text": "now", "raising": hostile(float, KeyError)(1.0)}


@pytest.mark.parametrize("name", list(MOMENTS))
def test_a_moment_that_is_none_costs_itself(name: str) -> None:
    """A pool of somebody's own may accept at any time: the start and the end are counted."""
    bench = Bench()
    request = bench.request(bench.request_class(type("Mild", (Request,), {"on_accepted": lambda *_: None})))
    request.on_accepted(1, MOMENTS[name])
    request.on_success((0, 42, 0.25))
    assert bench.life == ["received", "started", "ended success"]
    assert bench.book.durations == [pytest.approx(0, abs=60)]


RUNTIMES = {
    "nan": (float("nan"), None),
    "inf": (float("inf"), None),
    "negative": (-1.0, None),
    "text": ("1", None),
    "huge": (10**400, None),
    "int": (2, 2.0),
    "subclass": (hostile(int, KeyError)(2), 2.0),
}


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_a_runtime_that_is_none_costs_itself(name: str) -> None:
    """The success and its duration are counted without it; a subclass of int is a number."""
    bench = Bench()
    runtime, told = RUNTIMES[name]
    bench.started().on_success((0, 42, runtime))
    assert bench.life == ["received", "started", "ended success"]
    assert bench.book.runtimes == [told]


# -- messages ----------------------------------------------------------------------------------------------------------


VALUES: dict[str, Any] = {
    "list": lambda: ["x"],
    "dict": dict,
    "int": lambda: 5,
    "bytes": lambda: b"x",
    "raising": hostile(object, KeyError),
    "worse": hostile(object, Worse),
    "str": lambda: hostile(str, Worse)("celery"),
}


@pytest.mark.parametrize("key", ["exchange", "routing_key", "consumer_tag", "redelivered"])
@pytest.mark.parametrize("name", list(VALUES))
def test_delivery_information_that_makes_no_sense_costs_itself(key: str, name: str) -> None:
    """The request is counted, on the queue that can be told; neither it nor the object is kept."""
    value = VALUES[name]()
    site = Site().install()
    request = site.request(**{key: value})
    request.on_success((0, 42, 0.25))
    assert site.life[-1] == "ended success"
    assert all(type(part) in {str, type(None)} for route in site.watch._books for part in route)
    assert all(type(part) is str for pair in site.recorder.books for part in pair)
    site.watch.uninstall()


def test_a_name_that_is_a_str_of_its_own_is_made_plain() -> None:
    """Equal names are one task, whatever their class does when it is compared."""
    site = Site().install()
    for kind in (str, hostile(str, Worse), type("Str", (str,), {})):
        assert site.watch.books_of(kind("proj.add"), {"exchange": "", "routing_key": "q"}) is not None
    assert list(site.recorder.books) == [("proj.add", "q")]
    assert len(site.watch._books) == 1
    site.watch.uninstall()


# -- users' own Request and Task classes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "type",
        "eta",
        "task",
        "worker_pid",
        "time_start",
        "request_dict",
        "acknowledged",
        "delivery_info",
        "_apply_result",
    ],
)
@pytest.mark.parametrize("error", [KeyError, AttributeError, TypeError])
def test_a_request_whose_attributes_raise_is_celerys_to_break(name: str, error: type[Exception]) -> None:
    """A user's Request with a property that raises ends as on bare Celery, on every way."""

    class Users(Request):
        """Raises once it is made."""

        armed = False

        def __getattribute__(self, asked: str) -> Any:
            if asked == name and object.__getattribute__(self, "armed"):
                raise error(asked)
            return object.__getattribute__(self, asked)

    for end in (*ENDS, *FIRST_ENDS):
        outcomes = []
        for kind in ("bare", "watched", "traced"):
            bench = Bench(acks_late=True)
            made = {
                "bare": lambda bench: bench.final_class(Users),
                "watched": lambda bench: bench.request_class(Users),
                "traced": lambda bench: bench.final_class(followed(bench.request_class(Users).__mro__[1], Follower())),
            }[kind](bench)
            request = bench.request(made)
            request.armed = True
            outcomes.append((raised_by(bench, request, end, ValueError()), bench.acks))
        assert outcomes[1:] == outcomes[:1] * 2


def test_a_request_that_raises_at_its_construction_is_celerys(site: Site) -> None:
    """Its message says what it is, but for its ETA: an attribute that raises costs the waits after that, no more."""

    class Users(Request):
        """Has neither type nor ETA."""

        @property
        def type(self) -> Any:
            """Raise."""
            raise KeyError("type")

        @property
        def eta(self) -> Any:
            """Raise."""
            raise KeyError("eta")

    kind = site.bench.request_class(Users, site.watch)
    site.bench.started(site.bench.request(kind)).on_success((0, 42, 0.25))
    assert site.life == ["received", "started", "ended success"]
    late = site.bench.request(kind, eta="2030-01-01T00:00:00+00:00")
    site.bench.started(late).on_success((0, 42, 0.25))
    assert site.life[3:] == ["received", "swallowed request", "started", "ended success"]
    assert site.bench.acks == ["ack", "ack"]


def test_a_request_without_books_is_celerys(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours as the books are looked up leaves the request unobserved, and is told."""
    monkeypatch.setattr(site.watch, "books_of", None)
    request = site.bench.request(site.bench.request_class(watch=site.watch))
    site.bench.started(request).on_success((0, 42, 0.25))
    assert site.life == ["swallowed request"]
    assert site.bench.acks == ["ack"]


def test_a_task_that_raises_costs_itself_when_tasks_are_composed(site: Site) -> None:
    """Its neighbours are observed, and their zeros are there."""

    class Base(Task):
        """Raises whatever is asked of it, from some moment on."""

        def __getattribute__(self, asked: str) -> Any:
            if armed and asked in {"Request", "Strategy", "queue", "exchange", "__dict__"}:
                raise KeyError(asked)
            return super().__getattribute__(asked)

    armed: list[bool] = []
    for name in ("proj.a", "proj.z"):
        site.app.task(shared=False, name=name, Request=type("Own", (Request,), {}))(nothing)
    site.app.task(shared=False, name="proj.m", base=Base)(nothing)
    site.app.finalize()
    armed.append(True)
    with site.watch.in_front():
        assert all(issubclass(site.app.tasks[name].Request, Observed) for name in ("proj.a", "proj.z"))
    site.watch.ready()
    assert {"proj.a", "proj.add", "proj.z"} <= {name for name, _ in site.recorder.expected}
    assert site.life == ["swallowed request"]


def test_one_request_that_raises_does_not_keep_its_neighbours_from_being_settled(site: Site) -> None:
    """A lost connection settles each for itself."""

    class Users(Request):
        """Raises at what is asked of it when it is settled."""

        @property
        def _apply_result(self) -> Any:
            raise KeyError("_apply_result")

    site.worker.semaphore, site.worker.pool = object(), SimpleNamespace(uses_semaphore=True)
    odd, plain_one = site.bench.request(site.bench.request_class(Users, site.watch)), site.request()
    site.watch._settle([odd, plain_one], [], [])
    assert site.life == ["received", "received", "swallowed request", "ended returned"]


def test_requests_that_say_that_they_are_equal_are_told_apart(site: Site) -> None:
    """A class of the user's may compare by id: a message that is delivered again is another request."""

    class Users(Request):
        """Is equal to all others."""

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 1

    kind = site.bench.request_class(Users, site.watch)
    first, second = (site.bench.request(kind, eta="2100-01-01T00:00:00+00:00") for _ in range(2))
    assert site.watch.levels.scheduled() == 2
    first.reject()
    assert site.watch.levels.scheduled() == 1
    second.reject()


# -- the guard itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError, AttributeError, RecursionError])
def test_an_error_that_cannot_be_told_is_counted(error: type[Exception]) -> None:
    """The guard's own log line never raises: not for the error's sake, nor for its class's."""
    tallies = Tallies("w@h", Bounds(), None)  # type: ignore[arg-type]
    tallies.swallowed(Where.REQUEST, hostile(Exception, error, meta=True)())
    assert tallies.errors.counts[Where.REQUEST] == 1


def test_what_is_plain() -> None:
    """Names, texts and seconds are Python's own, whatever class they come in."""
    assert type(plain.text(hostile(str, KeyError)("a"))) is str
    assert [plain.text(value) for value in ("a", b"a", 5, None, ["a"])] == ["a", None, None, None, None]
    assert [plain.seconds(value) for value in (0.5, 1, True, -1.0, float("nan"), 10**400, "1", None)] == [
        *(0.5, 1.0, 1.0, None, None, None, None, None)
    ]
    assert plain.class_name(hostile(Exception, KeyError, meta=True)) == "Hostile"


@pytest.fixture
def site() -> Any:
    """Watch a worker, and leave no signal connected."""
    site = Site(task_queues=[Queue("celery")]).install()
    yield site
    site.watch.uninstall()
