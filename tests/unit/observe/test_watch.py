"""Everything observed of one worker: how it is hooked in and out, and how the books stay balanced."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
from celery import Task, signals
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu import Queue

from otel_celery.observe import watch as module
from otel_celery.observe.consumer import ObservedConsumer
from otel_celery.observe.life import is_active
from otel_celery.observe.request import Observed
from otel_celery.observe.watch import Watch
from tests.unit.observe.fakes import Bench, Book, Recorder, SimpleJob, Worker, make_app, message_for, nothing


class Users(Request):
    """A user's own Request."""


class Site:
    """A worker that is watched, with a bench to make its requests on."""

    def __init__(self, **conf: Any) -> None:
        """Prepare, and install nothing yet."""
        self.bench = Bench(make_app(**conf))
        self.app = self.bench.app
        self.recorder = Recorder()
        self.worker = Worker(self.app, consumer_cls="celery.worker.consumer:Consumer", semaphore=None)
        self.watch = Watch(self.worker, self.recorder)

    def install(self) -> Site:
        """Install."""
        self.watch.install()
        return self

    def request(self, **message: Any) -> Any:
        """Receive a message as this worker does."""
        return self.bench.request(self.bench.request_class(watch=self.watch), **message)

    @property
    def life(self) -> list[str]:
        """Tell what was reported."""
        return self.recorder.life


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test sets of its own in place of the process's."""
    monkeypatch.setattr(state, "reserved_requests", WeakSet())
    monkeypatch.setattr(state, "active_requests", WeakSet())


@pytest.fixture
def site():
    """Watch a worker, and leave no signal connected."""
    site = Site()
    yield site
    site.watch.uninstall()


# -- hooking in --------------------------------------------------------------------------------------------------------


def test_nothing_is_touched_before_it_is_installed(site: Site) -> None:
    """Making a watch changes neither the worker nor the app."""
    assert site.worker.consumer_cls == "celery.worker.consumer:Consumer"
    assert "Request" not in vars(site.app.Task)
    assert site.request()
    assert site.life == []


def test_installing_stands_in_front_of_both_classes(site: Site) -> None:
    """The app's Request and the worker's Consumer are observed, and Celery's own are beneath."""
    site.install()
    assert issubclass(site.worker.consumer_cls, ObservedConsumer)
    assert issubclass(site.worker.consumer_cls, Consumer)
    assert issubclass(site.app.Task.Request, Observed)
    assert issubclass(site.bench.task.Request, Observed)
    assert Task.Request == "celery.worker.request:Request", "other apps are not concerned"


def test_a_consumer_class_of_the_users_stays(site: Site) -> None:
    """worker_consumer may name a class of the user's own."""

    class Own(Consumer):
        """A user's own consumer."""

    site.worker.consumer_cls = Own
    site.install()
    assert Own in site.worker.consumer_cls.__mro__


def test_tasks_with_a_request_of_their_own_are_composed(site: Site) -> None:
    """A task's own class, and one on another base, are observed as soon as the consumer asks."""

    class Base(Task):
        """A base that is not the app's."""

        Request = "celery.worker.request:Request"

    own = site.app.task(shared=False, name="proj.own", Request=Users)(nothing)
    based = site.app.task(shared=False, name="proj.based", base=Base)(nothing)
    site.install()
    assert not issubclass(own.Request, Observed)
    site.watch.compose()
    assert issubclass(own.Request, Observed)
    assert Users in own.Request.__mro__
    assert issubclass(based.Request, Observed)


def test_composing_again_changes_nothing(site: Site) -> None:
    """Each connection asks again."""
    own = site.app.task(shared=False, name="proj.own", Request=Users)(nothing)
    site.install().watch.compose()
    before = own.Request
    site.watch.compose()
    assert own.Request is before


def test_uninstalling_puts_everything_back() -> None:
    """The app's and the tasks' classes are what they were, and composing does nothing any more."""
    site = Site()
    own = site.app.task(shared=False, name="proj.own", Request=Users)(nothing)
    inherits = site.bench.task
    site.install().watch.compose()
    site.watch.uninstall()
    site.watch.compose()
    assert own.Request is Users
    assert "Request" not in vars(site.app.Task)
    assert inherits.Request == "celery.worker.request:Request"
    assert site.watch._originals == []


def test_requests_under_way_report_after_an_uninstall() -> None:
    """The books stay balanced: who was received is heard to the end, and later ones are not."""
    site = Site().install()
    early = site.request()
    site.watch.uninstall()
    late = site.request()
    for request in (early, late):
        site.bench.started(request)
        request.on_success((0, 42, 0.25))
    assert site.life == ["received", "started", "ended success"]


def test_uninstalling_disconnects_the_signal() -> None:
    """A pool that makes processes afterwards is not looked at."""
    site = Site().install()
    connected = len(signals.worker_before_create_process.receivers)
    site.watch.uninstall()
    assert len(signals.worker_before_create_process.receivers) == connected - 1


# -- books -------------------------------------------------------------------------------------------------------------


def test_books_are_found_by_task_and_queue(site: Site) -> None:
    """The registered name and the queue consumed from open the books, never the shadow."""
    site.install()
    site.request(shadow="free text", routing_key="trading")
    site.request(routing_key="orders")
    site.request(routing_key="trading")
    assert list(site.recorder.books) == [("proj.add", "trading"), ("proj.add", "orders")]


def test_books_are_looked_up_once_a_route(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of a route is told once; the memory of routes does not grow without end."""
    site.install()
    asked: list[Any] = []

    def queue_of(*route: Any) -> str:
        asked.append(route)
        return "q"

    monkeypatch.setattr(site.watch.queues, "of", queue_of)
    for _ in range(3):
        site.request()
    assert len(asked) == 1
    monkeypatch.setattr(module, "MAX_KNOWN_ROUTES", 2)
    for number in range(5):
        site.request(routing_key=f"key{number}")
    assert len(site.watch._books) <= 2
    assert len(asked) == 6


def test_a_message_without_delivery_information_is_other(site: Site) -> None:
    """Nothing known of a message's way is no mistake."""
    site.install()
    found = site.watch.books_of("proj.add", {})
    assert isinstance(found, Book)
    assert found.pair == ("proj.add", "other")


# -- ready -------------------------------------------------------------------------------------------------------------


def test_ready_opens_the_books_that_are_to_be_expected() -> None:
    """The first time, and only then, each expected task has its books; nothing is counted in them."""
    queues = [Queue("trading"), Queue("celery")]
    site = Site(task_routes={"proj.add": "trading"}, task_queues=queues).install()
    site.app.task(shared=False, name="proj.late", Request=Users)(nothing)
    assert not site.watch.levels.up()
    site.watch.ready()
    assert site.watch.levels.up()
    assert site.recorder.expected == [("proj.add", "trading"), ("proj.late", "celery")]
    site.app.task(shared=False, name="proj.later")(nothing)
    site.watch.ready()
    assert len(site.recorder.expected) == 2
    assert site.recorder.books == {}, "nothing has occurred"
    assert site.life == []
    site.watch.uninstall()


def test_the_connection_and_its_return() -> None:
    """The first connection is none that came back."""
    site = Site()
    levels = site.watch.levels
    seen = []
    for report in (site.watch.connected, site.watch.disconnected, site.watch.connected):
        report()
        seen.append(levels.broker_connected())
    assert seen == [True, False, True]
    assert site.life == ["reconnected"]


def test_a_tick_is_a_turn_of_the_loop_and_a_look_at_the_children(site: Site) -> None:
    """The tick's time is kept, and children that went are counted."""
    process = SimpleNamespace(_popen=SimpleNamespace(pid=11, returncode=None))
    site.worker.pool = SimpleNamespace(_pool=SimpleNamespace(_pool=[process]))
    assert site.watch.levels.turns.stall() is None
    site.watch.ticked()
    process._popen.returncode = -9
    site.watch.ticked()
    assert site.watch.levels.turns.stall() is not None
    assert site.life == ["exited killed"]


def test_a_hard_limit_is_told_to_the_children(site: Site) -> None:
    """The child that dies for its limit has its own reason."""
    site.install()
    process = SimpleNamespace(_popen=SimpleNamespace(pid=11, returncode=None))
    site.worker.pool = SimpleNamespace(_pool=SimpleNamespace(_pool=[process]))
    site.watch.ticked()
    site.bench.started(site.request(), pid=11).on_timeout(soft=False, timeout=1)
    process._popen.returncode = -9
    site.watch.ticked()
    assert site.life[-1] == "exited timed_out"


def test_a_new_process_is_looked_at_before_and_after_it_is_made(site: Site) -> None:
    """The signal comes before the fork: the loop looks again when the child stands."""
    site.install()
    soon: list[Any] = []
    site.worker.hub = SimpleNamespace(call_soon=lambda *call: soon.append(call))
    processes: list[Any] = []
    site.worker.pool = SimpleNamespace(_pool=SimpleNamespace(_pool=processes))
    signals.worker_before_create_process.send(sender=None)
    processes.append(SimpleNamespace(_popen=SimpleNamespace(pid=11, returncode=None)))
    ((call, *arguments),) = soon
    call(*arguments)
    processes.pop()._popen.returncode = 155
    site.watch.ticked()
    assert site.life == ["exited recycled"]


# -- closing -----------------------------------------------------------------------------------------------------------


def closed(site: Site, *, between: Any = None) -> None:
    """Close the consumer as Celery does."""
    settle = site.watch.closing()
    state.reserved_requests.clear()
    if between is not None:
        between()
    settle()


def test_a_close_returns_what_is_held(site: Site) -> None:
    """Requests with an ETA or a rate limit are forgotten by Celery and delivered again."""
    site.install()
    held = site.request(eta="2100-01-01T00:00:00+00:00")
    limited = site.request()
    site.worker.consumer = SimpleNamespace(task_buckets={"a": SimpleNamespace(contents=[(limited, 1)])})
    assert site.watch.levels.scheduled() == 2
    closed(site, between=site.worker.consumer.task_buckets.clear)
    assert sorted(site.life) == ["ended returned", "ended returned", "received", "received"]
    assert site.watch.levels.scheduled() == 0
    assert not is_active(held)


def test_a_close_leaves_to_the_pool_what_it_has(site: Site) -> None:
    """Every pool but prefork runs what is reserved: it stays reserved until it starts, and ends once."""
    site.install()
    waiting = site.request()
    state.reserved_requests.add(waiting)
    closed(site)
    assert site.life == ["received"]
    assert site.watch.levels.reserved() == 1
    site.bench.started(waiting).on_success((0, 42, 0.25))
    assert site.watch.levels.reserved() == 0
    assert site.life == ["received", "started", "ended success"]


def test_a_close_on_prefork_returns_what_no_child_has(site: Site) -> None:
    """Prefork's jobs that are not written to a child yet are dropped, and the others run on."""
    site.install()
    site.worker.semaphore = object()
    site.worker.pool = SimpleNamespace(uses_semaphore=True)
    jobs = [SimpleJob(), SimpleJob()]
    jobs[1]._write_to = None
    written, queued, unknown = (site.request() for _ in range(3))
    written._apply_result, queued._apply_result = weakref.ref(jobs[0]), weakref.ref(jobs[1])
    state.reserved_requests.update({written, queued, unknown})
    closed(site)
    assert sorted(site.life[3:]) == ["ended returned", "ended returned"]
    assert site.watch.levels.reserved() == 1
    assert site.watch.levels.adrift == {written}


def test_a_close_returns_running_requests_that_the_pool_forgot(site: Site) -> None:
    """Celery 5.4's pool forgets the running ones too: nobody hears of their end."""
    site.install()
    site.worker.semaphore = object()
    site.worker.pool = SimpleNamespace(uses_semaphore=True)
    job = SimpleJob()
    known, forgotten = site.bench.started(site.request()), site.bench.started(site.request())
    known._apply_result = forgotten._apply_result = weakref.ref(job)
    state.active_requests.update({known, forgotten})
    other = SimpleJob()
    forgotten._apply_result = weakref.ref(other)
    closed(site, between=other._cache.clear)
    assert site.life[4:] == ["ended returned"]
    assert not is_active(forgotten)
    assert is_active(known)


def test_what_nobody_observes_is_not_settled(site: Site) -> None:
    """Requests of before the installation have no books."""
    reserved, held = (site.bench.request(site.bench.final_class(Request)) for _ in range(2))
    state.reserved_requests.add(reserved)
    site.watch.levels.held.add(held)
    closed(site)
    assert site.life == []
    assert site.watch.levels.adrift == set()


def test_drained_returns_whatever_still_waits(site: Site) -> None:
    """Once the pool is empty nothing that waits will run here, and the worker is down."""
    site.install()
    site.watch.ready()
    adrift, reserved, held = site.request(), site.request(), site.request(eta="2100-01-01T00:00:00+00:00")
    site.watch.levels.adrift.add(adrift)
    state.reserved_requests.add(reserved)
    site.watch.drained()
    assert site.life == ["received"] * 3 + ["ended returned"] * 3
    assert not site.watch.levels.up()
    assert (site.watch.levels.reserved(), site.watch.levels.scheduled()) == (0, 0)
    assert not is_active(held)


def test_the_books_balance_whatever_happens(site: Site) -> None:
    """Received is ended, reserved, scheduled, active and returned together, at every step."""
    site.install()
    requests = [site.request() for _ in range(4)] + [site.request(eta="2100-01-01T00:00:00+00:00")]
    state.reserved_requests.update(requests[:4])
    levels = site.watch.levels

    def balance() -> int:
        ended = sum(word.startswith("ended") for word in site.life)
        return ended + levels.active() + levels.reserved() + levels.scheduled()

    assert balance() == 5
    for request in requests[:2]:
        site.bench.started(request)
        state.active_requests.add(request)
        assert balance() == 5
    requests[0].on_success((0, 42, 0.25))
    state.active_requests.discard(requests[0])
    state.reserved_requests.discard(requests[0])
    assert balance() == 5
    closed(site)
    assert balance() == 5
    site.watch.drained()
    assert balance() == 5


def test_a_message_is_what_a_publisher_sends() -> None:
    """The fakes' messages are real ones of kombu's, that Celery's own Request reads."""
    app = make_app()
    assert message_for(app, "proj.add", shadow="x").headers["shadow"] == "x"
