"""Tasks with a Strategy of somebody's own: what it keeps is reserved, what it lets go of is counted once and named."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery import Task
from celery.worker import state, strategy
from celery.worker.request import Request

from otel_celery.observe.request import Observed
from otel_celery.observe.strays import Stray, goes_its_own_way
from otel_celery.observe.watch import Watch
from tests.integration.worker.harness import ROOT
from tests.unit.observe.fakes import Recorder, Worker, nothing
from tests.unit.observe.test_watch import Site, _own_state  # noqa: F401  a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

FAR = "2100-01-01T00:00:00+00:00"


def own(task: Any, app: Any, consumer: Any) -> Any:
    """Be a Strategy."""
    del task, app, consumer


class Beginning(Task):
    """Makes its Strategy another way."""

    def start_strategy(self, app: Any, consumer: Any, **_: Any) -> Any:
        """Be one."""


class Bench(Site):
    """A watched worker whose task has a Strategy of its own."""

    def __init__(self) -> None:
        """Compose."""
        super().__init__()
        self.bench.task.Strategy = own
        self.install()
        self.kind = self.final_class()

    def final_class(self) -> type:
        """Make the class of the task's requests as its consumer does."""
        with self.watch.in_front():
            return self.bench.final_class(self.bench.task.Request)

    def request(self, **message: Any) -> Any:
        """Receive a message as the Strategy does."""
        return self.bench.request(self.kind, **message)

    def books(self) -> tuple[int, int, int, int, int]:
        """Tell received, ended, reserved, scheduled, active; all but the first make up the first."""
        levels = self.watch.levels
        ended = sum(word.startswith("ended") for word in self.life)
        told = self.life.count("received"), ended, levels.reserved(), levels.scheduled(), levels.active()
        assert told[0] == sum(told[1:])
        return told


@pytest.fixture
def site() -> Iterator[Bench]:
    """Watch, and leave no signal connected."""
    site = Bench()
    yield site
    site.watch.uninstall()


@pytest.mark.parametrize(
    ("options", "is_own"),
    [
        ({}, False),
        ({"Strategy": staticmethod(strategy.default)}, False),
        ({"Strategy": "celery.worker.strategy:default"}, False),
        ({"Strategy": "celery.worker.strategy.default"}, False),
        ({"Strategy": own}, True),
        ({"Strategy": "tests.unit.observe.test_strays:own"}, True),
        ({"base": Beginning}, True),
    ],
    ids=["none", "the function", "its name", "dotted", "a function", "a name", "start_strategy"],
)
def test_whose_strategy_a_task_has(options: dict[str, Any], is_own: bool) -> None:  # noqa: FBT001
    """Celery's own, however it is written down, is no other; only tasks with another one pay."""
    site = Site().install()
    task = site.app.task(shared=False, name="proj.other", **options)(nothing)
    assert goes_its_own_way(task) == is_own
    with site.watch.in_front():
        assert issubclass(task.Request, Stray) == is_own
        assert issubclass(task.Request, Observed)
        assert not issubclass(site.bench.task.Request, Stray)
    site.watch.uninstall()
    assert not issubclass(_class_of(task), Observed)


def _class_of(task: Any) -> type:
    from kombu.utils.imports import symbol_by_name

    found: type = symbol_by_name(task.Request)
    return found


def test_composing_again_changes_nothing(site: Bench) -> None:
    """Each connection asks again."""
    with site.watch.in_front():
        before = site.bench.task.Request
    with site.watch.in_front():
        assert site.bench.task.Request is before


class Users(Request):
    """A user's own."""


@pytest.mark.parametrize("has_own", [True, False], ids=["its own class", "the app's"])
def test_a_strategy_may_ask_for_the_class_at_each_message(has_own: bool) -> None:  # noqa: FBT001
    """Ours stays in front of such a task's Request, and of no other's, until the watch is taken away."""
    site = Site().install()
    site.bench.task.Strategy = own
    if has_own:
        site.bench.task.Request = Users
    before = site.bench.task.Request
    for _ in range(2):  # connections
        with site.watch.in_front():
            pass
        request = site.bench.request(site.bench.final_class(site.bench.task.Request))
        assert request._otel_watch is site.watch
        assert isinstance(request, Users) == has_own
    assert site.life.count("received") == 2
    assert "Request" not in vars(site.app.Task)
    site.watch.uninstall()
    assert site.bench.task.Request is before
    assert ("Request" in vars(site.bench.task)) == has_own


def test_workers_of_one_app_that_ask_at_each_message() -> None:
    """The requests are the last one's; whichever is over first, the application's class is there in the end."""
    for order in (0, -1):
        site = Site().install()
        site.bench.task.Strategy = own
        other = Watch(Worker(site.app, consumer_cls="celery.worker.consumer:Consumer"), Recorder())
        other.install()
        watches = [site.watch, other]
        for watch in watches:
            with watch.in_front():
                pass
        assert site.bench.task.Request._otel_watch is other
        watches.pop(order).uninstall()
        if order == 0:
            assert site.bench.task.Request._otel_watch is other
        watches.pop().uninstall()
        assert "Request" not in vars(site.bench.task)


def test_what_is_kept_is_reserved_and_what_is_let_go_of_is_unreported(site: Bench) -> None:
    """As long as anybody holds it, it waits; then it is counted once, by a status of its own, without a duration."""
    kept = [site.request() for _ in range(5)]
    assert site.books() == (5, 0, 5, 0, 0)
    del kept[2:]
    gc.collect()
    assert site.books() == (5, 3, 2, 0, 0)
    assert site.life[5:] == ["ended unreported"] * 3
    assert site.recorder.books["proj.add", "celery"].durations == [None] * 3


FORK = """
import os
from tests.unit.observe.test_strays import Bench
site = Bench()
kept = [site.request()]
known = lambda: len(list(site.watch.strays))
pid = os.fork()
if pid == 0:
    os._exit(known())
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert known() == 1
"""


def test_a_forked_child_knows_of_none() -> None:
    """It has copies, and lets go of them in the middle of a task: nothing of ours runs then."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], cwd=ROOT, check=True, timeout=60)


def test_what_is_let_go_of_inside_a_circle_is_found_by_the_collector(site: Bench) -> None:
    """A request that refers to itself vanishes later, and is counted then."""
    gc.disable()
    try:
        request = site.request()
        request.itself = request
        del request
        assert site.books() == (1, 0, 1, 0, 0)
    finally:
        gc.enable()
    gc.collect()
    assert site.books() == (1, 1, 0, 0, 0)


def test_an_eta_is_scheduled_until_it_comes(site: Bench) -> None:
    """Celery's timer need not hold it; nobody but the Strategy does."""
    later, soon = site.request(eta=FAR), site.request(eta="2020-01-01T00:00:00+00:00")
    assert site.books() == (2, 0, 1, 1, 0)
    later._otel_runnable_at = time.monotonic() - 1
    assert site.books() == (2, 0, 2, 0, 0)
    del later, soon
    gc.collect()
    assert site.books() == (2, 2, 0, 0, 0)


def test_an_end_that_is_told_is_what_it_was(site: Bench) -> None:
    """A Strategy that calls Celery's callbacks has its ends counted, and no other besides."""
    for end in (
        lambda request: site.bench.started(request).on_success((0, "done", 0.25)),
        lambda request: site.bench.started(request).on_success((0, "done", None)),
        lambda request: request.reject(requeue=True),
        lambda request: request.on_timeout(soft=False, timeout=1),
    ):
        end(site.request())
    gc.collect()
    ended = [word for word in site.life if word.startswith("ended")]
    assert ended == ["ended success", "ended success", "ended rejected", "ended failure"]
    assert site.books() == (4, 4, 0, 0, 0)
    assert list(site.watch.strays) == []


def test_an_acknowledgement_is_no_end(site: Bench) -> None:
    """celery-batches acknowledges what it runs, and tells nothing else."""
    request = site.request()
    request.acknowledge()
    assert site.books() == (1, 0, 1, 0, 0)
    del request
    assert site.books() == (1, 1, 0, 0, 0)


def test_what_was_accepted_is_active_until_it_is_let_go_of(site: Bench) -> None:
    """Also where Celery's own state does not have it."""
    request = site.bench.started(site.request())
    state.active_requests.clear()
    state.requests.clear()
    assert site.books() == (1, 0, 0, 0, 1)
    del request
    assert site.books() == (1, 1, 0, 0, 0)


def test_what_runs_itself_is_active_meanwhile(site: Bench) -> None:
    """Celery's state does not know of request.execute()."""
    seen = []
    site.bench.task.run = lambda: seen.append(site.books())
    site.bench.task.__trace__ = None
    site.request().execute()
    assert seen == [(1, 0, 0, 0, 1)]
    assert site.books() == (1, 1, 0, 0, 0)


def test_what_celery_knows_as_well_counts_once(site: Bench) -> None:
    """A Strategy may lean on Celery's own."""
    reserved, running, limited = site.request(), site.request(), site.request()
    state.reserved_requests.update({reserved, running})
    site.bench.started(running)
    state.active_requests.add(running)
    site.worker.consumer = SimpleNamespace(task_buckets={"a": SimpleNamespace(contents=[(limited, 1)])})
    assert site.books() == (3, 0, 1, 1, 1)


def test_a_lost_connection_leaves_what_is_kept(site: Bench) -> None:
    """The Strategy's buffer is its own, and what Celery clears meanwhile is given back."""
    kept, cleared = site.request(), [site.request(eta=FAR)]
    settle = site.watch.closing()
    cleared.clear()
    settle()
    assert site.life[2:] == ["ended returned"]
    assert site.watch.levels.reserved() == 1
    del kept
    assert site.life[3:] == ["ended unreported"]


def test_a_worker_that_ends_gives_back_what_is_kept(site: Bench) -> None:
    """Nobody will run it here."""
    kept = [site.request(), site.request(eta=FAR)]
    site.watch.drained()
    assert site.life[2:] == ["ended returned"] * 2
    del kept
    gc.collect()
    assert len(site.life) == 4


def test_the_log_names_each_task_once(site: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Not while the collector runs, but at the next tick."""
    with caplog.at_level(logging.WARNING, "otel_celery"):
        site.request()
        assert caplog.messages == []
        site.watch.ticked()
        site.request()
        site.watch.ticked()
    (said,) = caplog.messages
    assert "'proj.add'" in said
    assert "'unreported'" in said
    assert "on_success" in said


def test_a_forked_child_lets_go_of_what_it_likes(site: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its copies are not the worker's requests."""
    request = site.request()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    del request
    assert site.life == ["received"]


def test_what_nobody_observes_is_not_kept() -> None:
    """After an uninstall no further request is known."""
    site = Bench()
    site.watch.uninstall()
    site.request()
    assert site.life == []
    assert list(site.watch.strays) == []


def test_a_strategy_that_cannot_be_read_costs_its_own_task() -> None:
    """Its neighbours are composed."""
    site = Site()
    broken = site.app.task(shared=False, name="proj.broken", Strategy="no.such:thing")(nothing)
    fine = site.app.task(shared=False, name="proj.z", Request=type("Own", (Request,), {}))(nothing)
    with site.install().watch.in_front():
        assert issubclass(fine.Request, Observed)
        assert issubclass(broken.Request, Observed), "as all that inherit the app's Request"
    assert site.life == ["swallowed request"]
    site.watch.uninstall()
