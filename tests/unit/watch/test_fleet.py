"""A fleet, looked at again and again: what is told of it, and what is wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from otel_celery.pools.client import Identity
from otel_celery.settings.settings import Port as Settings
from otel_celery.watch.asking import Answer, Asker
from otel_celery.watch.endpoints import Endpoint, EndpointError, of_url
from otel_celery.watch.fleet import Fleet
from otel_celery.watch.model import State
from otel_celery.watch.sources import Found, Given
from tests.unit.watch.ports import page, serving

if TYPE_CHECKING:
    from otel_celery.watch.model import View


FOREIGN = "404"
"""In the place of a page: something else answers, and has none."""


@dataclass
class Played(Asker):
    """Endpoints whose pages a test writes, on a clock that it turns; what is not written does not answer."""

    pages: dict[str, str] = field(default_factory=dict)
    at: float = 0.0
    known: list[str] = field(default_factory=lambda: ["a:1"])
    pool: str = ""
    fault: str = ""
    place: str = "a file"
    asked: list[Endpoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Watch what is known."""
        self.fleet = Fleet([self], self, lambda: self.at, lambda: 10_000 + self.at)

    async def find(self) -> Found:
        """Tell what is known."""
        if not self.known:
            raise EndpointError("nobody knows")
        return Found(tuple(of_url(name, self.pool) for name in self.known), self.fault)

    async def ask(self, endpoint: Endpoint) -> Answer:
        """Answer with the page."""
        self.asked.append(endpoint)
        text = self.pages.get(endpoint.address)
        if text == FOREIGN:
            return Answer(why="HTTP 404", is_foreign=True)
        return Answer(why="no answer within 2 s") if text is None else Answer(text)

    def look(self, seconds: float = 0.0, **pages: str) -> View:
        """Turn the clock, and look."""
        self.at += seconds
        self.pages |= {f"{name}:1": text for name, text in pages.items()}
        return asyncio.run(self.fleet.look())

    def problems(self, seconds: float = 0.0, **pages: str) -> list[str]:
        """Look, and name what is wrong."""
        return [problem.alert for problem in self.look(seconds, **pages).problems]


def test_a_workers_line_is_what_its_page_says() -> None:
    """Levels as they are; rates and quantiles from two pages."""
    played = Played()
    played.look(a=page())
    (worker,) = played.look(
        10, a=page(received=60, success=40, failure=10, retry=5, fast=50, slow=50, killed=1)
    ).workers
    assert (worker.name, worker.pool, worker.state, worker.active, worker.size) == ("trading@h", "trading", "up", 1, 4)
    assert (worker.reserved, worker.scheduled, worker.queues) == (2, 3, ("trading",))
    assert (worker.received, worker.succeeded, worker.failed, worker.retried) == (6, 4, 1, 0.5)
    assert (worker.p50, worker.p95) == pytest.approx((0.1, 0.19))
    assert (worker.exits, worker.exits_by_reason) == (1, (("killed", 1), ("recycled", 0)))
    assert worker.recent[-1] == 5.5


def test_a_tasks_line_is_of_all_its_workers() -> None:
    """Two workers of a pool are added up."""
    played = Played(known=["a:1", "b:1"])
    played.look(a=page("t@1"), b=page("t@2"))
    (task,) = played.look(10, a=page("t@1", success=30, failure=10), b=page("t@2", success=60)).tasks
    assert (task.name, task.pool, task.rate, task.failure_ratio) == ("orders.place", "t", 10, 0.1)


@pytest.mark.parametrize(
    ("levels", "state"),
    [
        ({}, State.UP),
        ({"up": 0}, State.STARTING),
        ({"draining": 1}, State.DRAINING),
        ({"broker_connected": 0}, State.NO_BROKER),
        ({"loop_stall_seconds": 30.5}, State.STUCK),
        ({"loop_stall_seconds": 29.5}, State.UP),
    ],
)
def test_a_worker_has_a_state_and_a_reason(levels: dict[str, Any], state: State) -> None:
    """Stuck is what the alert calls stuck."""
    played = Played()
    played.look(a=page(**levels))
    (worker,) = played.look(1).workers
    assert worker.state is state
    assert bool(worker.why) == (state is not State.UP)


def test_a_worker_that_goes_keeps_its_name_and_one_that_comes_counts_from_zero() -> None:
    """A process that was started anew has begun its counters again; nothing is lost, nothing negative."""
    played = Played()
    played.look(a=page(success=100))
    played.pages.clear()
    (gone,) = played.look(10).workers
    assert (gone.name, gone.state, gone.why) == ("trading@h", State.AWAY, "no answer within 2 s")
    (back,) = played.look(10, a=page(started=10_015, success=200)).workers
    assert (back.state, back.succeeded, back.restarts) == (State.UP, 10, 1)


def test_what_is_not_ours_is_told_from_a_worker_that_is_away() -> None:
    """The port answers, with somebody else's page."""
    view = Played(known=["a:1", "b:1"]).look(a="node_load1 3\n")
    assert [(worker.name, worker.state) for worker in view.workers] == [("a:1", State.FOREIGN), ("b:1", State.AWAY)]
    assert (view.asked, view.answered) == (2, 0)
    away, foreign = sorted(view.problems, key=lambda problem: problem.alert)
    assert (away.alert, away.look, away.after) == ("CeleryWorkerDown", "Does the process live?", 60)
    assert (foreign.alert, foreign.severity, foreign.after) == ("NotOtelCelery", "critical", 60)
    assert foreign.look.startswith("Is this the worker's port?")
    assert (foreign.section, away.section) == ("CeleryWorkerDown", "CeleryWorkerDown")


@pytest.mark.parametrize(
    ("known", "beside"),
    [
        (["silent:1", "a:1"], "http://a:1/-/runbook"),
        (["https://proxy:1/web1/metrics?name[]=a"], "https://proxy:1/web1/-/runbook"),
        (["http://proxy:1/web1", "a:1"], "http://a:1/-/runbook"),
        (["http://proxy:1/metrics/web1"], ""),
        (["silent:1", "foreign:1"], ""),
    ],
)
def test_the_runbook_is_beside_the_metrics_of_a_port_that_answers(known: list[str], beside: str) -> None:
    """Be its worker well or not, and be it a worker's or not: its port has the runbook still."""
    exporter = QUEUE.format("q", 12, "q", 900)
    assert Played(known=known).look(a=exporter, proxy=page(broker_connected=0), foreign="up 1\n").runbook == beside


def test_what_has_no_metrics_is_not_ours_unless_it_was_before() -> None:
    """A website, say, until nothing listens there; a proxy may forget its worker for a while."""
    played = Played(known=["a:1", "b:1"])
    states = [worker.state for worker in played.look(a=FOREIGN, b=page()).workers]
    assert states == [State.FOREIGN, State.UP]
    played.pages.clear()
    assert [worker.state for worker in played.look(3, b=FOREIGN).workers] == [State.AWAY, State.AWAY]


def test_an_endpoint_that_its_source_no_longer_tells_is_gone() -> None:
    """Unless the source could not be asked: then it is kept, and the view says why."""
    played = Played(known=["a:1", "b:1"])
    assert len(played.look(a=page(), b=page("x@h")).workers) == 2
    played.known = []
    assert len(played.look(31).workers) == 2
    assert [note.sentence for note in played.look(1).notes] == ["nobody knows"]
    played.known = ["b:1"]
    played.look(31)
    assert [worker.name for worker in played.look(1).workers] == ["x@h"]


def test_a_source_that_fails_takes_no_other_ones_endpoints_and_none_of_its_own() -> None:
    """What another source no longer tells is gone meanwhile."""
    first, second = Played(known=["a:1", "b:1"]), Played(known=["c:1"])
    fleet = Fleet([first, second], first, lambda: first.at)

    def known() -> list[str]:
        first.at += 31
        asyncio.run(looked())
        return [each.endpoint.address for each in fleet.watched.values()]

    async def looked() -> None:
        await fleet.look()
        await asyncio.sleep(0)
        await fleet.look()

    assert known() == ["a:1", "b:1", "c:1"]
    second.known, first.known = [], ["b:1"]
    assert known() == ["b:1", "c:1"]


def test_what_a_file_says_of_an_endpoint_may_change() -> None:
    """It is asked with its new login and told in its new pool; what it had counted before is not counted again."""
    played = Played(known=["http://a:1"])
    played.look(5, a=page(started=10_001, success=7))
    played.known, played.pool = ["http://me:pw@a:1"], "p"
    played.look(31)
    (worker,) = played.look(1).workers
    assert (worker.pool, played.asked[-1].login) == ("p", b"me:pw")
    assert played.fleet.totals.total(("ends", "http://a:1/metrics", "trading@h", "success")) == 7


def test_a_target_that_is_no_endpoint_is_said_beside_those_that_are() -> None:
    """The others are asked."""
    played = Played(fault="a file: 'a b' is not an endpoint")
    view = played.look(a=page())
    assert [worker.name for worker in view.workers] == ["trading@h"]
    assert [(note.name, note.sentence) for note in view.notes] == [("BadTarget", played.fault)]
    assert not view.is_well


def test_sizes_that_add_up_to_nothing_are_no_pool_to_divide_by() -> None:
    """A size below zero is none: the worker beside it is judged by its own."""
    played = Played(known=["a:1", "b:1"])
    pages: dict[str, Any] = {"a": page("t@1", tasks_active=4), "b": page("t@2", pool_size=-4)}
    played.look(**pages)
    assert [(each.alert, each.subject.pool) for each in played.look(2, **pages).problems] == [
        ("CeleryPoolSaturated", "t")
    ]


def test_a_worker_that_is_named_twice_is_one() -> None:
    """By a URL and by a file, in two spellings."""
    played = Played(known=["localhost:1", "127.0.0.1:1", "[::1]:1"], pages={"localhost:1": page()})
    view = played.look()
    assert [(worker.url, worker.name) for worker in view.workers] == [("http://localhost:1/metrics", "trading@h")]
    assert (view.asked, view.problems) == (1, ())


def test_a_look_does_not_wait_for_one_that_hangs() -> None:
    """It is asked on, and the others are told meanwhile, on real sockets."""

    async def looked() -> tuple[View, View]:
        fleet = Fleet([Given([of_url(slow.address), of_url(fast.address)])], Asker(Settings(), Identity(), 1))
        first = await fleet.look(0.3)
        while len((second := await fleet.look(0.3)).workers) < 2:
            pass
        await fleet.close()
        return first, second

    with serving() as slow, serving(page()) as fast:
        slow.hangs = True
        first, second = asyncio.run(looked())
    assert [worker.name for worker in first.workers] == ["trading@h"]
    assert second.workers[0].why == "no answer within 1 s"


TROUBLE = {
    "CeleryWorkerDown": page(up=0),
    "HighTaskFailureRate": page(failure=7, success=1_000),
    "CeleryTaskFailureRatioHigh": page(failure=4, success=20),
    "CeleryWorkerStuck": page(loop_stall_seconds=31),
    "CeleryBrokerAway": page(broker_connected=0),
    "CeleryBrokerDisconnected": page(broker_connected=0),
    "CeleryProcessesLost": page(killed=2),
    "CeleryRetryStorm": page(retry=13, success=5),
    "CeleryTaskRunningTooLong": page(oldest=3_601),
    "CeleryPoolSaturated": page(tasks_active=4),
}
NO_TROUBLE = {
    "HighTaskFailureRate": page(failure=6, success=1_000),
    "CeleryTaskFailureRatioHigh": page(failure=2, success=13),
    "CeleryWorkerStuck": page(loop_stall_seconds=29),
    "CeleryProcessesLost": page(killed=1),
    "CeleryRetryStorm": page(retry=12, success=5),
    "CeleryTaskRunningTooLong": page(oldest=3_599),
    "CeleryPoolSaturated": page(tasks_active=3),
    "CeleryWorkerDrainingTooLong": page(draining=1),
}


@pytest.mark.parametrize("alert", TROUBLE)
def test_trouble_is_named_at_the_second_look(alert: str) -> None:
    """By its alert's name, with the figure, since when, and the runbook's first step."""
    played = Played()
    played.look(a=page())
    found = {problem.alert: problem for problem in played.look(2, a=TROUBLE[alert]).problems}
    known = played.fleet._alerts
    if alert == "CeleryBrokerDisconnected":
        assert alert not in found  # hidden by CeleryBrokerAway, the one page for all
        return
    assert found[alert].figure
    assert found[alert].look == known[alert].look
    assert (found[alert].since, found[alert].after) == (0, known[alert].after)


def test_a_worker_is_not_stuck_by_its_first_answer() -> None:
    """One that could not answer tells of a stall that is over; where it is not, the next answer tells so."""
    played = Played()
    assert played.problems(a=page(loop_stall_seconds=40)) == []
    assert played.problems(1) == ["CeleryWorkerStuck"]
    stuck = played.pages.pop("a:1")
    assert played.problems(2) == ["CeleryWorkerDown"]
    assert played.problems(30, a=stuck) == []
    assert played.problems(1) == ["CeleryWorkerStuck"]


@pytest.mark.parametrize("alert", NO_TROUBLE)
def test_just_below_the_limit_is_no_trouble(alert: str) -> None:
    """As in the alerts' own tests."""
    played = Played()
    played.look(a=page())
    assert alert not in played.problems(2, a=NO_TROUBLE[alert])


def test_a_problem_says_since_when_and_ends() -> None:
    """It fires once it has held for as long as its alert waits."""
    played = Played()
    played.look(a=page(up=0))
    (waiting,) = played.look(59).problems
    assert (waiting.since, waiting.is_firing) == (59, False)
    assert played.look(1).problems[0].is_firing
    assert played.look(1, a=page()).problems == ()


def test_a_drain_is_a_problem_once_it_is_too_long() -> None:
    """A deploy is none."""
    played = Played()
    assert played.problems(a=page(draining=1)) == []
    assert played.problems(1_799) == []
    assert played.problems(1) == ["CeleryWorkerDrainingTooLong"]


def test_a_worker_that_is_down_has_no_other_trouble() -> None:
    """What it said last is not held against it."""
    played = Played()
    played.look(a=page())
    played.look(1, a=page(killed=5))
    played.pages.clear()
    assert played.problems(1) == ["CeleryWorkerDown"]


USUAL = "\n".join(
    [
        *(
            f'celery_task_runtime_seconds_bucket{{le="{le}",task_name="orders.place",worker="trading@h"}} 9'
            for le in ("200.0", "+Inf")
        ),
        'celery_task_runtime_seconds_sum{task_name="orders.place",worker="trading@h"} 1500',
        "",
    ]
)
"""Nine runs of up to 200 s: three times that is ten minutes."""


def test_three_times_the_usual_is_too_long() -> None:
    """Where successes tell what is usual, an hour is not waited for; five minutes are, always."""
    played = Played()
    assert played.problems(a=page(oldest=590) + USUAL) == []
    assert played.problems(1, a=page(oldest=610) + USUAL) == ["CeleryTaskRunningTooLong"]


def test_a_pool_whose_runs_are_merely_long_does_not_hang() -> None:
    """Nothing starts and nothing ends for as long as is usual; beyond that, or where nothing is usual, it hangs."""
    played = Played()
    played.look(a=page(tasks_active=4, oldest=100) + USUAL)
    assert "CeleryPoolHung" not in played.problems(400, a=page(tasks_active=4, oldest=500) + USUAL)
    assert "CeleryPoolHung" in played.problems(110, a=page(tasks_active=4, oldest=610) + USUAL)
    assert "CeleryPoolHung" in played.problems(a=page(tasks_active=4, oldest=500))


def test_what_waits_in_a_full_worker_beside_an_idle_one_is_no_trouble() -> None:
    """It waits for a slot of its own worker; in one that has such a slot, it is."""
    pages: dict[str, Any] = {
        "a": page(tasks_active=4, tasks_reserved=3),
        "b": page("trading@g", tasks_active=0, tasks_reserved=0),
    }
    played = Played(known=["a:1", "b:1"])
    played.look(**pages)
    assert "CeleryTasksNotStarting" not in played.problems(1000, **pages)
    assert "CeleryTasksNotStarting" in played.problems(1, **{**pages, "b": page("trading@g", tasks_reserved=1)})


QUEUE = 'celery_queue_length{{queue="{}"}} {}\ncelery_queue_oldest_message_age_seconds{{queue="{}"}} {}\n'


def test_a_queue_that_nobody_consumes_is_named() -> None:
    """By the workers that are watched, where the broker does not tell; its age and length are then no news."""
    played = Played(known=["a:1", "b:1"])
    pages: dict[str, Any] = {
        "a": page(),
        "b": QUEUE.format("trading", 5, "trading", 3) + QUEUE.format("tradign", 200, "tradign", 900),
    }
    view = played.look(**pages)
    assert [(queue.name, queue.length, queue.consumers) for queue in view.queues] == [
        ("tradign", 200, 0),
        ("trading", 5, 1),
    ]
    assert [(problem.alert, str(problem.subject)) for problem in view.problems] == [
        ("CeleryQueueNotConsumed", "queue tradign")
    ]


def test_a_queue_whose_pool_drains_is_no_trouble() -> None:
    """A worker that drains consumes no more: a deploy. Once it is gone, nobody does, and its pool is named."""
    played = Played(known=["a:1", "b:1"])
    drained = page(draining=1).replace("celery_worker_queue_info", "x")
    played.look(a=page(), b=QUEUE.format("trading", 5, "trading", 3))
    assert played.problems(5, a=drained) == []
    played.look(60, a=page("general@h").replace('queue="trading"', 'queue="general"'))
    (only,) = played.look(1).problems
    assert (only.alert, only.subject.queue, only.subject.pool) == ("CeleryQueueNotConsumed", "trading", "trading")


def test_a_drain_that_began_before_the_first_look_is_no_trouble() -> None:
    """A worker that drains names no queue, but its counts do: of tasks that it took, or might have taken."""
    drained = page(draining=1).replace("celery_worker_queue_info", "x")
    waiting = QUEUE.format("trading", 5, "trading", 3)
    assert Played(known=["a:1", "b:1"]).problems(5, a=drained, b=waiting) == []
    others = drained.replace('queue="trading"', 'queue="orders"')
    assert Played(known=["a:1", "b:1"]).problems(5, a=others, b=waiting) == ["CeleryQueueNotConsumed"]


def test_a_queue_of_a_worker_that_is_down_is_no_trouble_of_its_own() -> None:
    """Its pool's worker is."""
    played = Played(known=["a:1", "b:1"])
    played.look(a=page(), b=QUEUE.format("trading", 5, "trading", 3))
    del played.pages["a:1"]
    assert played.problems(1) == ["CeleryWorkerDown"]


def test_an_exporter_that_does_not_answer_is_said() -> None:
    """It is no worker, and has no line of its own."""
    played = Played(known=["b:1"])
    assert played.look(b=QUEUE.format("q", 0, "q", 0)).workers == ()
    played.pages.clear()
    view = played.look(1)
    assert [note.sentence for note in view.notes] == ["b:1 gives no metrics: no answer within 2 s"]
    assert view.workers == ()


def test_the_only_worker_without_a_broker_is_told_as_one() -> None:
    """And several as several."""
    (one,) = Played().look(a=page(broker_connected=0)).problems
    assert one.figure == "the only worker has no connection to the broker: no task is received"
    several = Played(known=["a:1", "b:1"])
    (two,) = several.look(a=page("a@h", broker_connected=0), b=page("b@h", broker_connected=0)).problems
    assert two.figure == "none of 2 workers has a connection to the broker: no task is received"


def test_the_broker_is_back_once_a_worker_has_had_it_for_a_minute() -> None:
    """The others, which try again twice a minute, are no trouble of their own meanwhile."""
    played = Played(known=["a:1", "b:1"])
    cut: dict[str, Any] = {"a": page("a@h", broker_connected=0), "b": page("b@h", broker_connected=0)}
    played.look(**cut)
    (back,) = played.look(10, a=page("a@h")).problems
    assert (back.alert, back.since) == ("CeleryBrokerAway", 10)
    assert back.figure == "1 worker has the broker again, for less than 1 min"
    assert played.problems(30) == ["CeleryBrokerAway"]
    assert played.problems(30) == ["CeleryBrokerDisconnected"]
    assert played.problems(1, b=page("b@h")) == []


def test_a_poison_is_named_by_what_it_did_before_the_watch_began() -> None:
    """A pool is killed every few seconds at most; what happened before the window is no longer told."""
    labels = 'queue="trading",task_name="orders.place",worker="trading@h"'
    poison = (
        f'celery_task_failures_by_exception_total{{exception="WorkerLostError",{labels}}} 3\n'
        f"celery_task_redelivered_total{{{labels}}} 3\n"
    )
    (only,) = Played().look(a=page(started=10_000 - 800) + poison).problems
    assert (only.alert, only.subject.task) == ("CeleryPoisonMessage", "orders.place")
    assert only.figure == "3 processes died of it, and its messages came back 3 times"
    assert Played().problems(a=page(started=10_000 - 1_000) + poison) == []


def test_one_name_at_two_endpoints_is_told_once_as_such() -> None:
    """Their figures are counted twice here, and once by Prometheus."""
    played = Played(known=["a:1", "b:1"])
    found = played.problems(a=page(), b=page())
    assert found == ["CeleryNodeNameTwice"]


def test_beat_is_told() -> None:
    """When it last looked, and how much it has to do."""
    played = Played()
    (beat,) = played.look(10, a="celery_beat_last_tick_timestamp_seconds 9590\ncelery_beat_entries 3\n").beats
    assert (beat.tick, beat.entries) == (420, 3)
    assert played.problems(1) == ["CeleryBeatStopped"]
