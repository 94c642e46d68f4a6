"""Which queue a message came from, told from real queues of kombu's."""

from __future__ import annotations

from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Consumer, Exchange, Queue, binding
from kombu.common import Broadcast

from otel_celery.observe.queues import QueueNames
from tests.unit.observe.fakes import Worker, make_app

EVENTS = Exchange("events", "topic")
DIRECT = Exchange("shop", "direct")
FAN = Exchange("fan", "fanout")


def names(*queues: Queue, tags: dict[str, str] | None = None) -> QueueNames:
    """Consume these queues, with these tags on an AMQP broker."""
    worker = Worker(make_app(task_queues=list(queues)))
    if tags is not None:
        worker.consumer = SimpleNamespace(task_consumer=SimpleNamespace(_active_tags=tags, queues=list(queues)))
    return QueueNames(worker)


@pytest.mark.parametrize("exchange", ["", None])
def test_on_the_nameless_exchange_the_key_is_the_queue(exchange: str | None) -> None:
    """This is exact on every broker, also for a queue that is not among those consumed."""
    each = names(Queue("trading", DIRECT, "trade"), Queue("trade"))
    assert each.of(exchange, "trading", None) == "trading"
    assert each.of(exchange, "elsewhere", None) == "elsewhere"
    assert each.of(exchange, "trading", "some tag") == "trading"


@pytest.mark.parametrize("key", ["", None])
def test_nothing_at_all_is_other(key: str | None) -> None:
    """A message without exchange and key cannot be told."""
    assert names(Queue("trading")).of("", key, None) == "other"


def test_a_consumer_tag_is_looked_up() -> None:
    """On AMQP the tag tells, before any binding does."""
    queues = (Queue("a", DIRECT, "key"), Queue("b", DIRECT, "key"))
    each = names(*queues, tags={"a": "tag1", "b": "tag2"})
    assert each.of("shop", "key", "tag2") == "b"
    assert each.of("shop", "key", "tag1") == "a"


def test_tags_change_with_the_connection() -> None:
    """The tags are looked up in whatever consumer there is now."""
    each = names(Queue("a", DIRECT, "key"), Queue("b", DIRECT, "key"), tags={"a": "1", "b": "2"})
    assert each.of("shop", "key", "1") == "a"
    each._worker.consumer.task_consumer = SimpleNamespace(_active_tags={"b": "1"}, queues=[Queue("b", DIRECT, "key")])
    assert each.of("shop", "key", "1") == "b"
    both = list(each._worker.app.amqp.queues.values())
    each._worker.consumer.task_consumer = SimpleNamespace(_active_tags={}, queues=both)
    assert each.of("shop", "key", "1") == "other"


def test_an_unknown_tag_leaves_it_to_the_bindings() -> None:
    """A tag that nobody has does not hide a binding that matches."""
    assert names(Queue("a", DIRECT, "key"), tags={}).of("shop", "key", "tag") == "a"


@pytest.mark.parametrize(
    ("queue", "key", "matches"),
    [
        (Queue("q", DIRECT, "trade"), "trade", True),
        (Queue("q", DIRECT, "trade"), "trade.x", False),
        (Queue("q", DIRECT, "*"), "trade", False),
        (Queue("q", EVENTS, "order.*"), "order.new", True),
        (Queue("q", EVENTS, "order.*"), "order", False),
        (Queue("q", EVENTS, "order.*"), "order.new.big", False),
        (Queue("q", EVENTS, "order.#"), "order", True),
        (Queue("q", EVENTS, "order.#"), "order.new.big", True),
        (Queue("q", EVENTS, "order.#"), "orders", False),
        (Queue("q", EVENTS, "#"), "", True),
        (Queue("q", EVENTS, "#"), "anything.at.all", True),
        (Queue("q", EVENTS, "#.big"), "big", True),
        (Queue("q", EVENTS, "#.big"), "order.new.big", True),
        (Queue("q", EVENTS, "#.big"), "order.big.new", False),
        (Queue("q", EVENTS, "*.*.big"), "order.new.big", True),
        (Queue("q", EVENTS, "*.#.big"), "order.big", True),
        (Queue("q", EVENTS, "*.#.big"), "big", False),
        (Queue("q", EVENTS, "a.#.b.#.c"), "a.x.b.y.z.c", True),
        (Queue("q", EVENTS, "order.new"), "order.new", True),
        (Queue("q", EVENTS, "or*"), "order", False),
        (Queue("q", FAN, "ignored"), "whatever", True),
        (Queue("q", FAN), None, True),
    ],
    ids=lambda each: f"{each.exchange.type}:{each.routing_key}" if isinstance(each, Queue) else str(each),
)
def test_bindings_match_as_the_broker_matches(queue: Queue, key: str | None, matches: bool) -> None:  # noqa: FBT001
    """Direct keys are equal; in a topic * is one word and # any number of them; a fanout takes all."""
    assert names(queue).of(queue.exchange.name, key, None) == ("q" if matches else "other")


def test_several_matches_are_other() -> None:
    """What two queues may have delivered cannot be told."""
    each = names(Queue("a", EVENTS, "order.#"), Queue("b", EVENTS, "*.new"))
    assert each.of("events", "order.new", None) == "other"
    assert each.of("events", "order.old", None) == "a"


def test_another_exchange_does_not_match() -> None:
    """A key alone is not enough."""
    assert names(Queue("a", DIRECT, "key")).of("elsewhere", "key", None) == "other"


def test_a_queue_with_several_bindings_matches_by_each() -> None:
    """A queue may be bound more than once."""
    queue = Queue("a", bindings=[binding(DIRECT, "one"), binding(EVENTS, "two.*")])
    each = names(queue)
    assert each.of("shop", "one", None) == "a"
    assert each.of("events", "two.x", None) == "a"
    assert each.of("shop", "two.x", None) == "other"


def test_a_broadcast_queue_goes_by_its_alias() -> None:
    """The name bcast.<uuid> is new for every worker; it is never a label."""
    queue = Broadcast("notices")
    each = names(queue, tags={queue.name: "tag"})
    assert list(each.consumed()) == ["notices"]
    assert each.of("notices", "", None) == "notices"
    assert each.of("notices", "", "tag") == "notices"
    assert each.of("", queue.name, None) == "notices"


def test_only_queues_that_are_consumed_count() -> None:
    """With -Q a worker consumes some of the app's queues."""
    app = make_app(task_queues=[Queue("a", DIRECT, "key"), Queue("b", DIRECT, "key")])
    app.amqp.queues.select(["b"])
    each = QueueNames(Worker(app))
    assert list(each.consumed()) == ["b"]
    assert each.of("shop", "key", None) == "b"


def test_a_queue_that_is_added_later_counts() -> None:
    """add_consumer changes what is consumed while the worker runs."""
    app = make_app(task_queues=[Queue("a")])
    each: Any = QueueNames(Worker(app))
    app.amqp.queues.select_add("b")
    assert set(each.consumed()) >= {"b"}


def consuming(app: Any) -> tuple[Any, Consumer]:
    """Consume an app's queues with a real consumer of kombu's, over the broker in memory."""
    consumer = app.amqp.TaskConsumer(app.connection_for_read().channel())
    consumer.consume()
    return QueueNames(Worker(app, consumer=SimpleNamespace(task_consumer=consumer))), consumer


def test_the_consumer_knows_what_it_consumes_and_the_app_may_not() -> None:
    """An order to add or cancel a queue reaches the consumer, whatever this version's app keeps of it."""
    each, consumer = consuming(make_app(task_queues=[Queue("a"), Queue("b")]))
    assert set(each.consumed()) == {"a", "b"}
    consumer.add_queue(Queue("c"))
    consumer.consume()
    consumer.cancel_by_queue("a")
    assert set(each.consumed()) == {"b", "c"}
    consumer.cancel_by_queue("b")
    consumer.cancel_by_queue("c")
    assert each.consumed() == {}


def test_the_last_ones_count_while_the_connection_is_made_anew() -> None:
    """A worker that seeks its broker has not given its queues up."""
    each, consumer = consuming(make_app(task_queues=[Queue("a"), Queue("b")]))
    consumer.cancel_by_queue("a")
    assert set(each.consumed()) == {"b"}
    each._worker.consumer.task_consumer = None
    assert set(each.consumed()) == {"b"}


def test_a_scrape_may_ask_while_queues_are_added_and_cancelled() -> None:
    """The names are copied in one step, whatever the worker's thread does meanwhile."""
    each, consumer = consuming(make_app(task_queues=[Queue(f"q{number}") for number in range(50)]))
    queues: Any = consumer._queues
    over = Event()

    def change() -> None:
        while not over.is_set():
            for number in range(200):
                queues[f"x{number}"] = Queue(f"x{number}")
            for number in range(200):
                queues.pop(f"x{number}")

    changing = Thread(target=change)
    changing.start()
    try:
        for _ in range(300):
            assert {f"q{number}" for number in range(50)} <= set(each.consumed())
    finally:
        over.set()
        changing.join()
