"""Redis is asked as kombu fills it: priorities, bindings, unacknowledged messages, and what is none of kombu's."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery
from kombu import Connection, Exchange, Queue

from otel_celery.lifecycle import SENT_HEADER
from otel_celery.queues import redis as asking
from otel_celery.queues.broker import Broker
from otel_celery.queues.figures import Asked, Figures, age

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.queues.figures import Answer


@pytest.fixture
def url(redis_url: str) -> str:
    """Give an empty database."""
    place = f"{redis_url.rsplit('/', 1)[0]}/6"
    with redis.Redis.from_url(place) as server:
        server.flushdb()
    return place


@pytest.fixture
def server(url: str) -> Iterator[redis.Redis]:
    """Give a client of it."""
    with redis.Redis.from_url(url) as client:
        yield client


def ask(url: str, *names: str, known: tuple[str, ...] = (), others: bool = False, **options: Any) -> dict[str, Answer]:
    """Ask once."""
    broker = Broker(
        lambda transport_options=None, **given: Connection(
            url, transport_options={**options, **(transport_options or {})}, **given
        ),
        5.0,
        None,
        print,
    )
    try:
        return dict(broker.ask(Asked(names, known, others), time.monotonic() + 60))
    finally:
        broker.close()


def publish(url: str, name: str, number: int = 1, exchange: str = "", **options: Any) -> None:
    """Publish messages to a queue, over an exchange that is bound to it."""
    with Connection(url) as connection, connection.channel() as channel:
        queue = Queue(name, Exchange(exchange), routing_key=name)(channel)
        queue.declare()
        for _ in range(number):
            connection.Producer(channel).publish({}, exchange=exchange, routing_key=name, **options)


def test_an_empty_queue_is_zero_where_it_is_known_or_bound(url: str) -> None:
    """Redis keeps no empty list: the app, or the binding that Celery has made, says that it exists."""
    publish(url, "bound", exchange="bound")
    with Connection(url) as connection:
        connection.SimpleQueue(Queue("bound", Exchange("bound"), routing_key="bound")).get(timeout=5).ack()
    told = ask(url, "bound", "known", "nothing", known=("known",))
    assert told == {"bound": Figures(0, unacked=0), "known": Figures(0, unacked=0), "nothing": None}


def test_queues_that_nobody_has_named_are_found_by_their_bindings(url: str, server: redis.Redis) -> None:
    """As Celery binds a name that it is given by mistake; its own queues for control and events are none of tasks."""
    client = Celery("client", broker=url, set_as_current=False)
    for _ in range(20):
        client.send_task("orders.place", queue="tradign")
    client.close()
    for name in ("w@host.celery.pidbox", "celeryev.5f6d", "bcast.5f6d", str(uuid.uuid4())):
        publish(url, name, exchange=name)
    server.set("something else", "1")
    told = ask(url, "trading", known=("trading",), others=True)
    assert told == {"trading": Figures(0, unacked=0), "tradign": told["tradign"]}
    assert isinstance(told["tradign"], Figures)
    assert told["tradign"].length == 20
    assert ask(url, "trading") == {"trading": None}


def test_a_large_database_is_walked_through_in_several_refreshes(
    url: str, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk goes on where it stopped, forgets a binding that is gone, and finds no more than it has room for."""
    monkeypatch.setattr(asking, "SCANNED", 10)
    monkeypatch.setattr(asking, "SCANS", 2)
    server.mset({f"celery-task-meta-{number}": "" for number in range(500)})
    publish(url, "tradign", exchange="tradign")
    with Connection(url) as connection, connection.channel() as channel:
        asker = asking.RedisAsker(channel, print)

        def told() -> set[str]:
            return {name for name, _ in asker.ask(Asked((), others=True), time.monotonic() + 60)}

        assert any(told() for _ in range(60))
        assert all(told() for _ in range(60))
        server.delete("_kombu.binding.tradign", "tradign")
        assert not all(told() for _ in range(120))
        assert not any(told() for _ in range(60))
        monkeypatch.setattr(asking, "MAX_FOUND", 3)
        for number in range(9):
            publish(url, f"q{number}", exchange=f"q{number}")
        assert max(len(told()) for _ in range(60)) == 3


def test_a_server_that_does_not_list_its_keys_costs_what_is_not_named(
    url: str, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and what is named is told."""
    heard: list[str] = []
    server.lpush("a", "{}")
    with Connection(url) as connection, connection.channel() as channel:
        asker = asking.RedisAsker(channel, lambda what, _: heard.append(what))
        monkeypatch.setattr(asker._client, "scan", lambda *_, **__: server.execute_command("NOPE"))
        assert dict(asker.ask(Asked(("a",), others=True), time.monotonic() + 60)) == {"a": Figures(1, unacked=0)}
    assert heard == ["the list of the broker's queues"]


def test_unacknowledged_messages_are_counted_by_queue(url: str) -> None:
    """By the routing key on the nameless exchange, else by the exchange's bindings."""
    publish(url, "a", 3)
    publish(url, "b", 2, exchange="direct")
    with Connection(url) as connection, connection.channel() as channel:
        for queue, number in (("a", 2), ("b", 1)):
            for _ in range(number):
                assert Queue(queue)(channel).get()
        told = ask(url, "a", "b")
    assert told == {"a": Figures(1, unacked=2), "b": Figures(1, unacked=1)}


def test_too_much_that_is_unacknowledged_is_not_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond either bound no queue is told; the lengths are."""
    publish(url, "a", 3)
    with Connection(url) as connection, connection.channel() as channel:
        assert Queue("a")(channel).get()
        assert Queue("a")(channel).get()
        for bound in ("MAX_UNACKED", "MAX_UNACKED_BYTES"):
            with monkeypatch.context() as patch:
                patch.setattr(asking, bound, 1)
                assert ask(url, "a") == {"a": Figures(1)}


def test_what_is_unacknowledged_and_leads_nowhere_leaves_it_untold(url: str, server: redis.Redis) -> None:
    """A count that may be wrong is not shown."""
    server.lpush("a", "{}")
    for value in ("no JSON", json.dumps([{}, "exchange", "key"]), json.dumps({}), json.dumps([{}, "", "b"])):
        server.hset("unacked", value, value)
        if "b" not in value:
            assert ask(url, "a") == {"a": Figures(1)}


def test_the_oldest_of_all_priorities_is_told(url: str, server: redis.Redis) -> None:
    """Each priority is a list of its own; a message without a time, or that is no message, has no age."""
    for priority, seconds in ((0, 100), (3, 300), (9, 200)):
        publish(url, "a", priority=priority, headers={SENT_HEADER: time.time() - seconds})
    publish(url, "b")
    server.lpush("c", "no JSON", "\udcff".encode(errors="surrogatepass"), "[]", '{"headers": 3}')
    told = ask(url, "a", "b", "c")
    a = told["a"]
    assert isinstance(a, Figures)
    assert a.length == 3
    assert 299 < (a.age or 0) < 360
    assert told["b"] == Figures(1, unacked=0)
    assert told["c"] == Figures(4, unacked=0)


def test_a_key_of_another_kind_fails_its_own_queue(url: str, server: redis.Redis) -> None:
    """The other queues are told."""
    server.set("a", "text")
    server.lpush("b", "{}")
    told = ask(url, "a", "b")
    assert "WRONGTYPE" in str(told["a"])
    assert told["b"] == Figures(1, unacked=0)


def test_the_options_of_the_transport_are_followed(url: str, server: redis.Redis) -> None:
    """Key prefix, separator, steps, and whether anything is kept until it is acknowledged."""
    options: dict[str, Any] = {"global_keyprefix": "p:", "sep": "#", "priority_steps": [0, 7], "ack_emulation": False}
    server.lpush("p:a", "{}")
    server.lpush("p:a#7", "{}", "{}")
    server.lpush("a", *("{}" for _ in range(9)))
    assert ask(url, "a", **options) == {"a": Figures(3)}


@pytest.mark.parametrize(
    "headers",
    [None, [], {}, {SENT_HEADER: "1"}, {SENT_HEADER: float("inf")}, {SENT_HEADER: -1}, {SENT_HEADER: 10**400}],
)
def test_a_time_that_is_none_makes_no_age(headers: object) -> None:
    """The header is anybody's to write."""
    assert age(headers, 1_000.0) is None


def test_a_publisher_whose_clock_is_ahead_makes_no_negative_age() -> None:
    """It is zero."""
    assert (age({SENT_HEADER: 900}, 1_000.0), age({SENT_HEADER: 1_100.0}, 1_000.0)) == (100.0, 0.0)
