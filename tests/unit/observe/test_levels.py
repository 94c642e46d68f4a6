"""A worker's levels, read from Celery's own state while it changes."""

from __future__ import annotations

import sys
import time
from threading import Event, Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import celery
import pytest
from billiard.exceptions import Terminated
from celery import bootsteps
from celery.concurrency.solo import TaskPool as Solo
from celery.worker import state
from kombu import Queue

from otel_celery.observe.levels import Levels
from otel_celery.observe.queues import QueueNames
from otel_celery.version import __version__
from tests.unit.observe.fakes import Bench, Worker, make_app, raised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.observe.held import Held


class Custom(Solo):
    """A pool of somebody's own."""


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test sets of its own in place of the process's."""
    monkeypatch.setattr(state, "reserved_requests", WeakSet())
    monkeypatch.setattr(state, "active_requests", WeakSet())
    monkeypatch.setattr(state, "should_stop", None)
    monkeypatch.setattr(state, "should_terminate", None)


@pytest.fixture
def worker() -> Worker:
    """Be a worker of four slots."""
    pool = SimpleNamespace(num_processes=4)
    return Worker(make_app(), pool=pool, pool_cls="celery.concurrency.prefork:TaskPool", concurrency=4)


@pytest.fixture
def levels(worker: Worker) -> Levels:
    """Read the worker's levels."""
    return Levels(worker, QueueNames(worker))


def hold(where: Held, *requests: Any) -> None:
    """Have several requests held."""
    for request in requests:
        where.hold(request)


def counts(levels: Levels) -> tuple[int, int, int]:
    """Count active, reserved, scheduled."""
    return levels.active(), levels.reserved(), levels.scheduled()


def test_an_idle_worker_has_nothing(levels: Levels) -> None:
    """Every level begins at zero or no."""
    assert counts(levels) == (0, 0, 0)
    assert (levels.up(), levels.draining(), levels.broker_connected(), levels.last_loop()) == (
        False,
        False,
        False,
        None,
    )
    assert levels.oldest_active() == {}


def test_active_ones_are_not_reserved(levels: Levels) -> None:
    """Celery counts a running request as reserved too."""
    bench = Bench()
    waiting, running = bench.request(), bench.started()
    state.reserved_requests.update({waiting, running})
    state.active_requests.add(running)
    assert counts(levels) == (1, 1, 0)


def test_an_end_that_celery_never_heard_of_is_not_active(levels: Levels) -> None:
    """SystemExit on threads leaves a request in Celery's sets for ever."""
    bench = Bench()
    request = bench.started()
    state.reserved_requests.add(request)
    state.active_requests.add(request)
    with pytest.raises(TypeError):
        request.on_success(raised(SystemExit(1)))
    assert counts(levels) == (0, 0, 0)
    assert levels.oldest_active() == {}


def test_held_requests_are_scheduled_once(levels: Levels, worker: Worker) -> None:
    """A request that stands in a bucket and is held for its ETA counts once; empty buckets do not matter."""
    bench = Bench()
    both, limited, held = bench.request(), bench.request(), bench.request()
    bucket = SimpleNamespace(contents=[(both, 1), (limited, 1)])
    worker.consumer = SimpleNamespace(task_buckets={"a": None, "b": bucket})
    hold(levels.held, both, held)
    assert counts(levels) == (0, 0, 3)


def test_a_held_request_that_is_reserved_is_not_scheduled(levels: Levels) -> None:
    """A request whose ETA passed may be in two places at once."""
    bench = Bench()
    due, running = bench.request(), bench.started()
    hold(levels.held, due, running)
    state.reserved_requests.update({due, running})
    state.active_requests.add(running)
    assert counts(levels) == (1, 1, 0)


def test_requests_adrift_are_reserved_until_they_start(levels: Levels) -> None:
    """What the consumer forgot and the pool will run still waits for its slot."""
    bench = Bench()
    waiting, started, ended = bench.request(), bench.started(), bench.request()
    ended.reject()
    hold(levels.adrift, waiting, started, ended)
    state.reserved_requests.add(waiting)
    assert levels.reserved() == 1


def test_the_oldest_run_of_each_name(levels: Levels) -> None:
    """Ages are of the registered name, and of its oldest run."""
    bench = Bench()
    requests = [bench.started(seconds=3), bench.started(seconds=70), bench.request()]
    state.active_requests.update(requests)
    assert levels.oldest_active() == {"proj.add": pytest.approx(70, abs=0.5)}


def test_up_from_ready_until_drained(levels: Levels) -> None:
    """A drain does not take the worker down before its pool is empty."""
    levels.is_ready = True
    assert levels.up()
    levels.has_drained = True
    assert not levels.up()


@pytest.mark.parametrize("flag", ["should_stop", "should_terminate"])
@pytest.mark.parametrize(("value", "draining"), [(None, False), (False, False), (0, True), (1, True), (True, True)])
def test_draining_once_celery_is_told_to_stop(
    levels: Levels,
    monkeypatch: pytest.MonkeyPatch,
    flag: str,
    value: Any,
    draining: bool,  # noqa: FBT001
) -> None:
    """An exit status of 0 is an order to stop like any other."""
    monkeypatch.setattr(state, flag, value)
    assert levels.draining() is draining


@pytest.mark.parametrize(
    ("step", "draining"), [(bootsteps.RUN, False), (bootsteps.CLOSE, True), (bootsteps.TERMINATE, True)]
)
def test_draining_once_the_consumer_closes(levels: Levels, worker: Worker, step: int, draining: bool) -> None:  # noqa: FBT001
    """The consumer's blueprint says whether it still consumes."""
    worker.consumer = SimpleNamespace(blueprint=SimpleNamespace(state=step))
    assert levels.draining() is draining


@pytest.mark.parametrize(
    ("pool", "size"),
    [
        (None, 0),
        (SimpleNamespace(), 0),
        (SimpleNamespace(num_processes=None), 0),
        (SimpleNamespace(num_processes=7), 7),
    ],
)
def test_the_pool_has_as_many_slots_as_it_says(levels: Levels, worker: Worker, pool: Any, size: int) -> None:
    """The size is read at each scrape, for autoscale moves it."""
    worker.pool = pool
    assert levels.pool_size() == size


@pytest.mark.parametrize(
    ("pool", "kind"),
    [
        ("celery.concurrency.prefork:TaskPool", "prefork"),
        ("celery.concurrency.thread:TaskPool", "threads"),
        (Solo, "solo"),
        (Custom, f"{Custom.__module__}:Custom"),
    ],
)
def test_the_pools_kind_is_its_alias(levels: Levels, worker: Worker, pool: Any, kind: str) -> None:
    """Celery's name for the pool, else its module and class."""
    worker.pool_cls = pool
    assert levels.info() == {
        "pool_kind": kind,
        "concurrency": "4",
        "celery_version": celery.__version__,
        "otel_celery_version": __version__,
    }


def test_the_loop_of_solo_tells_nothing(levels: Levels, worker: Worker) -> None:
    """On solo a long task holds the loop up, which is no fault."""
    levels.turns.turned()
    assert levels.loop_stall() is not None
    assert levels.last_loop() is not None
    worker.pool_cls = Solo
    assert levels.loop_stall() is None
    assert levels.last_loop() is None


def test_a_step_of_the_clock_is_no_stall(levels: Levels, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the port judges by does not move; the timestamp is of the clock as it is now."""
    levels.turns.turned()
    for step in (3_600.0, -3_600.0):
        stepped = time.time() + step
        monkeypatch.setattr("otel_celery.observe.levels.time.time", lambda stepped=stepped: stepped)
        assert levels.loop_stall() == pytest.approx(0.0, abs=20)
        assert levels.last_loop() == pytest.approx(stepped, abs=20)
        monkeypatch.undo()


def test_the_queues_are_those_consumed(levels: Levels, monkeypatch: pytest.MonkeyPatch) -> None:
    """The labels of the queues come from the app; a worker that drains consumes none."""
    assert list(levels.queues()) == ["celery"]
    monkeypatch.setattr(state, "should_stop", True)
    assert list(levels.queues()) == []


def test_the_members_of_both_groups(levels: Levels) -> None:
    """What waits and what runs can be listed as well as counted."""
    bench = Bench()
    waiting, held, running = bench.request(), bench.request(), bench.started()
    state.reserved_requests.update({waiting, running})
    state.active_requests.add(running)
    levels.held.hold(held)
    assert levels.waiting() == ([waiting], [held])
    assert levels.running() == [running]


class ConsumerOf:
    """A consumer of queues that come and go, as kombu's keeps them."""

    def __init__(self, live: dict[str, Queue]) -> None:
        """Keep the dictionary."""
        self._queues = live

    @property
    def queues(self) -> list[Queue]:
        """List them as kombu does."""
        return list(self._queues.values())


@pytest.fixture
def hasty() -> Iterator[None]:
    """Have threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty")
def test_levels_are_read_while_they_change(worker: Worker, levels: Levels) -> None:
    """A scrape's thread never trips over the worker's, where one that reads carelessly does."""
    bench, done = Bench(), Event()
    kept = [bench.started() for _ in range(30)]
    live: dict[str, Queue] = {}
    worker.consumer = SimpleNamespace(task_consumer=ConsumerOf(live))

    def churn() -> None:
        while not done.is_set():
            for number, request in enumerate(kept):
                state.active_requests.add(request)
                levels.held.hold(request)
                live[f"q{number}"] = Queue(f"q{number}")
            for number, request in enumerate(kept):
                state.active_requests.discard(request)
                levels.held.ended(request)
                del live[f"q{number}"]

    def careless() -> bool:
        try:
            _ = [name for name in live if name]
        except RuntimeError:
            return True
        return False

    def careful() -> None:
        assert 0 <= levels.active() <= 30
        assert 0 <= levels.scheduled() <= 30
        assert len(list(levels.queues())) <= 30
        levels.oldest_active()

    thread = Thread(target=churn)
    thread.start()
    try:
        tripped, end = 0, time.monotonic() + 60
        while tripped < 5 and time.monotonic() < end:
            careful()
            tripped += careless()
    finally:
        done.set()
        thread.join()
    assert tripped == 5


def test_a_terminated_request_that_reported_is_not_active(levels: Levels) -> None:
    """Once its end is told, a request counts no longer, whatever Celery's sets say."""
    bench = Bench()
    request = bench.started()
    state.active_requests.add(request)
    request.on_failure(raised(Terminated(15)))
    state.active_requests.add(request)
    assert levels.active() == 0
