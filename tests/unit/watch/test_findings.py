"""What the doctor finds on pages, by two looks: each in a sentence, with what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from otel_celery.page import runbook
from otel_celery.top import report
from otel_celery.watch import families, findings, standing
from otel_celery.watch.endpoints import Endpoint, of_url
from otel_celery.watch.finding import Broker, Finding
from otel_celery.watch.model import Queue, Subject, View
from otel_celery.watch.scraped import unscraped
from otel_celery.watch.sources import Prometheus
from tests.unit.watch.ports import page
from tests.unit.watch.test_fleet import QUEUE, Played

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKER = 'worker="trading@h"'
PLACE = f'queue="trading",task_name="orders.place",{WORKER}'


def found(played: Played, broker: Broker | None = None, **pages: str) -> Sequence[Finding]:
    """Look twice at pages, and list what is found."""
    played.pages |= {f"{name}:1": text for name, text in pages.items()}
    views = [played.look(), played.look(3.0)]
    listed = findings.all_of(list(played.fleet.watched.values()), views, broker)
    assert {each.section for each in listed} <= {"", *runbook.names()}
    return listed


def test_a_healthy_worker_has_nothing() -> None:
    """Its publishers say when they publish, and its broker answers."""
    extra = f"celery_task_started_total{{{PLACE}}} 5\ncelery_task_queue_wait_seconds_count{{{PLACE}}} 5\n"
    assert list(found(Played(), Broker("redis://r", lengths={"trading": 7}), a=page() + extra)) == []


def test_a_queue_that_no_worker_consumes() -> None:
    """By the broker's word; one that is empty, or consumed here, is none."""
    broker = Broker("redis://r", lengths={"trading": 3, "lost": 12, "empty": 0})
    (only,) = found(Played(), broker, a=page())
    assert (only.name, only.severity, only.subject.queue) == ("QueueNotConsumed", "critical", "lost")
    assert only.sentence == "no worker that answers here consumes the queue lost, which holds 12 messages"
    assert only.do == "Start a worker with -Q lost, or correct the route (task_routes) that leads there."


def test_a_queue_whose_worker_drains_is_no_trouble() -> None:
    """The next one is about to take from it."""
    broker = Broker("redis://r", lengths={"trading": 3})
    drains = page(draining=1).replace("celery_worker_queue_info", "x")
    assert "QueueNotConsumed" not in {each.name for each in found(Played(), broker, a=drains)}


def test_the_brokers_own_word_on_a_queue_goes_first() -> None:
    """The exporter's is older: what has been taken since is no trouble, by no name, and what has come since is."""
    shown = View(0, 1, queues=(Queue("q", 12, consumers=0), Queue("r", 0, consumers=0), Queue("s", 7, consumers=0)))
    told = standing.unconsumed(shown, Broker("redis://r", lengths={"q": 0, "r": 3}))
    assert [(each.subject.queue, each.sentence.split()[-2:]) for each in told] == [
        ("r", ["3", "messages"]),
        ("s", ["7", "messages"]),
    ]
    exporter = QUEUE.format("q", 12, "q", 900)
    assert [each.name for each in found(Played(), a=page() + exporter)] == ["QueueNotConsumed"]
    assert list(found(Played(), Broker("redis://r", lengths={"q": 0}), a=page() + exporter)) == []


def test_a_worker_that_is_full() -> None:
    """With the tasks that fill it, and the oldest; a burst, and one that was not full before, are none."""
    (only,) = found(Played(), a=page(tasks_active=4, oldest=720))
    assert (only.name, only.severity) == ("WorkerFull", "warning")
    assert only.sentence == (
        "trading@h is full (4 of 4) with tasks of orders.place, the oldest for 12 min, and 2 more tasks wait in it"
    )
    assert list(found(Played(), a=page(tasks_active=4, oldest=5))) == []
    (only,) = found(Played(), a=page(tasks_active=4, tasks_reserved=4, oldest=5))
    assert only.name == "WorkerFull"
    played = Played()
    views = [played.look(a=page(tasks_active=1)), played.look(3.0, a=page(tasks_active=4, oldest=720))]
    names = [each.name for each in findings.all_of(list(played.fleet.watched.values()), views)]
    assert "WorkerFull" not in names


def test_a_worker_that_drains_is_not_full() -> None:
    """A deploy ends it when its last tasks have, and more slots would be for nobody."""
    assert list(found(Played(), a=page(draining=1, tasks_active=4, oldest=720))) == []


def test_two_workers_of_one_name() -> None:
    """They are at two endpoints."""
    (only,) = found(Played(known=["a:1", "b:1"]), a=page(), b=page())
    assert only.name == "NodeNameTwice"
    assert only.sentence == "2 workers have one name, trading@h: those at http://a:1/metrics, http://b:1/metrics"


def test_a_task_that_kills_its_process_and_comes_back() -> None:
    """Since the workers began, however short the doctor looks."""
    died = (
        f'celery_task_failures_by_exception_total{{exception="WorkerLostError",task_name="orders.place",{WORKER}}} 4\n'
    )
    again = f"celery_task_redelivered_total{{{PLACE}}} 4\n"
    (only,) = found(Played(), a=page() + died + again)
    assert (only.name, only.severity, only.subject.task) == ("PoisonMessage", "critical", "orders.place")
    assert only.sentence == (
        "orders.place kills its process: 4 processes of trading died of it, and its messages came back 4 times"
    )
    assert list(found(Played(), a=page() + died)) == []


def test_figures_that_no_sum_has_room_for_are_none() -> None:
    """Two of them in one sum are no infinity: the page's other figures are told, and the document stays JSON."""
    lines = (
        f'{name}{{exception="WorkerLostError",task_name="t",reason="r",le="{le}",queue="{queue}",{WORKER}}} 1.7e308\n'
        for queue in (1, 2)
        for le in ("1", "nan", "+Inf")
        for name in (
            families.EXCEPTIONS,
            families.REDELIVERED,
            families.DURATION,
            families.TASKS,
            "otel_celery_folded_total",
        )
    )
    played = Played()
    assert list(found(played, a=page())) == []
    assert list(found(played, a=page() + "".join(lines))) == []
    document = report.text(played.look(1, a=page() + "celery_worker_tasks_active 1.7e308\n"))
    assert {"NaN", "Infinity"}.isdisjoint(document.replace(",", " ").split())


def test_a_publisher_without_the_library() -> None:
    """Messages that came again are not among those that say nothing."""
    lines = (
        f"celery_task_started_total{{{PLACE}}} 9\n"
        f"celery_task_queue_wait_seconds_count{{{PLACE}}} 4\n"
        f"celery_task_redelivered_total{{{PLACE}}} 2\n"
    )
    (only,) = found(Played(), a=page() + lines)
    assert only.name == "PublisherWithoutLibrary"
    assert only.sentence.startswith("3 messages of orders.place came without the time of publishing: ")
    assert "instrument(app)" in only.do


def test_messages_that_never_became_a_task() -> None:
    """With the reason."""
    (only,) = found(Played(), a=page() + f'celery_messages_unknown_total{{reason="unknown_task",{WORKER}}} 2\n')
    assert only.sentence == "2 messages that trading@h received never became a task (unknown_task)"


def test_clocks_that_differ() -> None:
    """A publisher's, and a worker's own."""
    first, second = found(Played(), a=page(started=10_100) + f"otel_celery_clock_skew_total{{{WORKER}}} 3\n")
    assert first.sentence == (
        "3 messages that trading@h received came from the future: a publisher's clock is ahead of the worker's"
    )
    assert second.sentence == "trading@h says that it began 1.6 min from now: its clock is ahead of this host's"


def test_a_port_that_is_somebody_elses_and_one_that_does_not_answer() -> None:
    """The first needs no worker to be started again; the other is the alert's, with the runbook's first step."""
    foreign, away = sorted(found(Played(known=["a:1", "b:1"]), a="up 1\n"), key=lambda each: each.sentence)
    assert foreign.sentence == "a:1: what answers is not otel-celery; its page has none of the metrics"
    assert away.sentence == "b:1: no answer within 2 s"
    assert {foreign.severity, away.severity} == {"critical"}
    assert foreign.section == "CeleryWorkerDown"
    assert foreign.do.startswith("Look: Is this the worker's port?")
    assert away.do.startswith("Look: Does the process live? `pgrep")


def test_a_broker_that_does_not_answer_is_one_thing() -> None:
    """That its workers have lost it is the same."""
    (only,) = (
        each
        for each in found(Played(), Broker("redis://***@r", "timed out"), a=page(broker_connected=0))
        if each.name != "CeleryWorkerDown"
    )
    assert (only.name, only.sentence) == ("BrokerAway", "the broker redis://***@r does not answer: timed out")


class Told(Prometheus):
    """A Prometheus whose targets a test writes."""

    def __init__(self, targets: dict[str, str]) -> None:
        """Have these targets, each with its last error."""
        self._told = {of_url(address): error for address, error in targets.items()}

    @property
    def place(self) -> str:
        """Where it would be."""
        return "prom:9090"

    async def errors(self) -> dict[Endpoint, str]:
        """Tell them."""
        return self._told


@pytest.mark.parametrize(
    ("targets", "sentences"),
    [
        ({"127.0.0.1:9101": "", "web1:9102": ""}, []),
        ({"host.docker.internal:9101": "", "web1:9102": ""}, []),
        ({"127.0.0.1:9101": ""}, ["Prometheus at prom:9090 does not scrape market (web1:9102)"]),
        (
            {"localhost:9101": "connection refused", "web1:9102": ""},
            ["Prometheus at prom:9090 cannot scrape trading (localhost:9101): connection refused"],
        ),
    ],
)
def test_what_a_prometheus_does_not_scrape(targets: dict[str, str], sentences: list[str]) -> None:
    """This machine has several names; a target that fails is told of with the reason."""
    endpoints = [of_url("localhost:9101", "trading"), of_url("web1:9102", "market")]
    assert [each.sentence for each in asyncio.run(unscraped(Told(targets), endpoints))] == sentences


def test_the_queues_to_ask_for_are_those_consumed_and_published_to() -> None:
    """What is folded is no queue."""
    published = "".join(
        f'celery_task_published_total{{queue="{queue}",task_name="t",{WORKER}}} 1\n' for queue in ("mail", "other")
    )
    played = Played()
    views = [played.look(a=page() + published)]
    assert findings.queues_to_ask(played.fleet.watched.values(), views) == {"trading", "mail"}


def test_a_subject_that_names_no_pool_meets_all() -> None:
    """As the broker's does."""
    assert findings._meet(Subject(pool="a"), Subject(detail="broker"))
    assert not findings._meet(Subject(pool="a"), Subject(pool="b"))
    assert not findings._meet(Subject(queue="a", pool="p"), Subject(queue="b", pool="p"))
