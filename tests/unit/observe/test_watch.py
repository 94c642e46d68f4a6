"""Everything observed of one worker: how it is hooked in and out, and how the books stay balanced."""

from __future__ import annotations

import gc
import logging
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


def test_installing_stands_in_front_of_the_consumers_class_alone(site: Site) -> None:
    """The worker's Consumer is observed, with Celery's own beneath; the app is everybody's."""
    site.install()
    assert issubclass(site.worker.consumer_cls, ObservedConsumer)
    assert issubclass(site.worker.consumer_cls, Consumer)
    assert "Request" not in vars(site.app.Task)
    assert Task.Request == "celery.worker.request:Request"


def test_a_consumer_class_of_the_users_stays(site: Site) -> None:
    """worker_consumer may name a class of the user's own."""

    class Own(Consumer):
        """A user's own consumer."""

    site.worker.consumer_cls = Own
    site.install()
    assert Own in site.worker.consumer_cls.__mro__


def test_every_tasks_request_is_observed_while_the_consumer_asks(site: Site) -> None:
    """A task's own class, one on another base and the app's; then each is what it was."""

    class Base(Task):
        """A base that is not the app's."""

        Request = "celery.worker.request:Request"

    own = site.app.task(shared=False, name="proj.own", Request=Users)(nothing)
    based = site.app.task(shared=False, name="proj.based", base=Base)(nothing)
    site.install()
    with site.watch.in_front():
        for task in (own, based, site.bench.task, site.app.Task):
            assert issubclass(task.Request, Observed)
            assert task.Request._otel_watch is site.watch
        assert Users in own.Request.__mro__
    assert own.Request is Users
    assert "Request" not in vars(site.app.Task)
    assert based.Request == site.bench.task.Request == "celery.worker.request:Request"


def test_a_consumer_that_asks_again_gets_the_same_classes(site: Site) -> None:
    """Each connection asks."""
    own = site.app.task(shared=False, name="proj.own", Request=Users)(nothing)
    site.install()
    with site.watch.in_front():
        before = own.Request
    with site.watch.in_front():
        assert own.Request is before


def test_a_consumer_that_fails_meanwhile_leaves_nothing_in_front(site: Site) -> None:
    """A user's Strategy may raise."""
    site.install()
    with pytest.raises(LookupError), site.watch.in_front():
        raise LookupError
    assert "Request" not in vars(site.app.Task)


def test_a_request_class_that_cannot_be_had_costs_its_own_task(site: Site) -> None:
    """The others are observed, and Celery says what it thinks of that one."""
    odd = site.app.task(shared=False, name="proj.odd", Request="no.such:Request")(nothing)
    own = site.app.task(shared=False, name="proj.own", Request=Users)(nothing)
    site.install()
    with site.watch.in_front():
        assert issubclass(own.Request, Observed)
        assert odd.Request == "no.such:Request"
    assert len(site.recorder.errors) == 1


def test_a_request_class_that_is_set_meanwhile_stays(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A task may set its own where it is asked for its Strategy; that its messages are not seen is said, once."""

    class Setting(Task):
        def start_strategy(self, *_: Any, **__: Any) -> None:
            self.Request = Users

    site.install()
    task = site.app.task(shared=False, name="proj.setting", base=Setting)(nothing)
    caplog.set_level(logging.WARNING, "otel_celery")
    for _ in range(2):
        with site.watch.in_front():
            task.start_strategy(site.app, None)
        assert task.Request is Users
        assert site.app.Task.Request == "celery.worker.request:Request"
        del task.Request
    (said,) = caplog.messages
    assert "task 'proj.setting' sets its Request class" in said
    assert site.recorder.errors == []


def test_two_watches_of_one_app_have_a_class_each(site: Site) -> None:
    """Whoever's consumer asks, its requests report to its own watch, and the other's levels leave them out."""
    other = Watch(Worker(site.app, consumer_cls="celery.worker.consumer:Consumer"), Recorder())
    for watch in (site.watch, other):
        watch.install()
    made = []
    for watch in (site.watch, other):
        with watch.in_front():
            made.append(site.bench.request(site.bench.final_class(site.bench.task.Request)))
    assert [request._otel_watch for request in made] == [site.watch, other]
    for request in made:
        state.reserved_requests.add(request)
    assert site.watch.levels.reserved() == other.levels.reserved() == 1
    state.active_requests.add(made[0])
    assert (site.watch.levels.active(), other.levels.active()) == (1, 0)
    other.uninstall()


def test_nothing_is_in_front_after_an_uninstall() -> None:
    """A consumer that asks later gets what the application has."""
    site = Site().install()
    site.watch.uninstall()
    with site.watch.in_front():
        assert site.app.Task.Request == site.bench.task.Request == "celery.worker.request:Request"


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


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_thousand_requests_over_ten_reconnects_leave_nothing(site: Site, pool: str) -> None:
    """Requests that are adrift when a connection is lost are let go at their start, or at an end without one."""
    site.install()
    if pool == "prefork":
        site.worker.semaphore, site.worker.pool = object(), SimpleNamespace(uses_semaphore=True)
    left: list[weakref.ref[Any]] = []
    for _ in range(10):
        requests, jobs = [site.request() for _ in range(100)], [SimpleJob() for _ in range(100)]
        for request, job in zip(requests, jobs, strict=True):
            request._apply_result = weakref.ref(job)
        state.reserved_requests.update(requests)
        closed(site)
        site.watch.disconnected()
        site.watch.connected()
        assert site.watch.levels.reserved() == 100
        for number, request in enumerate(requests):
            if number % 3:
                site.bench.started(request).on_success((0, 42, 0.25))
            else:
                request.reject()
        left += [weakref.ref(request) for request in requests]
        del requests, request, jobs, job
        state.reserved_requests.clear()
        state.active_requests.clear()
    gc.collect()
    assert [reference for reference in left if reference() is not None] == []
    assert len(site.watch.levels.adrift) == len(site.watch.levels.held) == 0
    assert site.life.count("received") == sum(word.startswith("ended") for word in site.life) == 1000


def test_a_request_whose_eta_has_come_is_adrift_once(site: Site) -> None:
    """It is reserved when the connection is lost, and no longer held for its ETA."""
    site.install()
    due = site.request(eta="2020-01-01T00:00:00+00:00")
    state.reserved_requests.add(due)
    closed(site)
    assert (site.watch.levels.reserved(), site.watch.levels.scheduled()) == (1, 0)


def test_a_close_leaves_to_other_workers_what_is_theirs(site: Site) -> None:
    """Celery forgets their waiting requests too; each stays reserved with its own worker until it starts, or closes."""
    site.install()
    neighbour = Site().install()
    neighbour.worker.semaphore, neighbour.worker.pool = object(), SimpleNamespace(uses_semaphore=True)
    first, second = neighbour.request(), neighbour.request()
    state.reserved_requests.update({first, second})
    closed(site)
    levels = neighbour.watch.levels
    assert (site.watch.levels.reserved(), levels.reserved()) == (0, 2)
    neighbour.bench.started(first).on_success((0, 42, 0.25))
    assert levels.reserved() == 1
    closed(neighbour)  # no process of its pool has it
    assert levels.reserved() == len(levels.adrift) == 0
    assert neighbour.life[2:] == ["started", "ended success", "ended returned"]
    neighbour.watch.uninstall()


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
    assert list(site.watch.levels.adrift) == [written]


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
    reserved = site.bench.request(site.bench.final_class(Request))
    state.reserved_requests.add(reserved)
    closed(site)
    assert site.life == []
    assert len(site.watch.levels.adrift) == 0


def test_drained_returns_whatever_still_waits(site: Site) -> None:
    """Once the pool is empty nothing that waits will run here, and the worker is down."""
    site.install()
    site.watch.ready()
    adrift, reserved, held = site.request(), site.request(), site.request(eta="2100-01-01T00:00:00+00:00")
    site.watch.levels.adrift.hold(adrift)
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
