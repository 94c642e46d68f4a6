"""The function in front of an app's publishing: each message is stamped and reported, and Celery is as it was."""

from __future__ import annotations

import functools
import gc
import json
import signal
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from kombu import Exchange, Queue
from kombu.common import Broadcast

from otel_celery.lifecycle import SENT_HEADER
from otel_celery.publish import header
from otel_celery.publish.front import NAME, Front
from tests.unit.observe.fakes import make_app, nothing


class Heard:
    """Remembers what is reported; implements ``observers.PublishObserver``."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.told: list[tuple[Any, Any, str | None]] = []
        self.seconds: list[float] = []
        self.errors: list[Exception] = []

    def published(self, name: Any, queue: Any, seconds: float, exception: str | None) -> None:
        """Write it down."""
        self.told.append((name, queue, exception))
        self.seconds.append(seconds)

    def swallowed(self, error: Exception) -> None:
        """Write it down."""
        self.errors.append(error)


class Bench:
    """An app on a broker in memory, with the function in front of it."""

    def __init__(self, app: Celery | None = None, *, has_header: bool = True, **conf: Any) -> None:
        """Stand in front."""
        self.app = app or make_app(**conf)
        self.heard = Heard()
        self.front = Front(self.app, self.heard, has_header=has_header)
        self.front.install()
        if app is None:
            self.app.control.purge()  # brokers in memory are one
        self.task = self.app.task(shared=False, name="proj.add")(nothing)

    def headers(self, queue: str = "celery") -> list[dict[str, Any]]:
        """Take the messages from a queue."""
        with self.app.connection_for_read() as connection:
            simple = connection.SimpleQueue(queue)
            found = []
            while len(simple):
                message = simple.get_nowait()
                message.ack()
                found.append(message.headers)
            return found


def test_a_message_has_its_time_and_is_reported() -> None:
    """With its task and queue, and how long publishing took."""
    bench = Bench()
    before = time.time()
    bench.task.delay()
    (headers,) = bench.headers()
    assert before <= headers[SENT_HEADER] <= time.time()
    assert bench.heard.told == [("proj.add", "celery", None)]
    assert 0 <= bench.heard.seconds[0] < 30


def test_the_header_takes_forty_bytes_at_most() -> None:
    """With its quotes, colon, comma and spaces, as kombu writes it into Redis."""
    assert len(json.dumps({"a": 1, SENT_HEADER: 1764302400.1234567})) - len(json.dumps({"a": 1})) <= 40


@pytest.mark.parametrize("driver", ["amqp", "redis", None])
def test_over_amqp_a_message_has_a_timestamp_too(driver: str | None) -> None:
    """RabbitMQ's management tells of it; elsewhere it would be bytes for nothing. The caller's own stays."""
    transport = SimpleNamespace(driver_type=driver)
    producer = SimpleNamespace(connection=SimpleNamespace(transport=transport)) if driver else None
    mine: dict[str, int] = {}
    theirs, before = {"timestamp": 3}, int(time.time())
    for options in (mine, theirs):
        header.stamp(producer, ({}, {}, b"", None), options)
    assert theirs == {"timestamp": 3}
    assert [before <= stamp <= time.time() for stamp in mine.values()] == ([True] if driver == "amqp" else [])


def test_an_inherited_header_is_overwritten_and_the_parents_stays() -> None:
    """A retry is published with the headers of its parent."""
    bench, inherited = Bench(), {SENT_HEADER: 1.5, "mine": "kept"}
    bench.task.apply_async(headers=inherited)
    (headers,) = bench.headers()
    assert headers[SENT_HEADER] > 1e9
    assert headers["mine"] == "kept"
    assert inherited == {SENT_HEADER: 1.5, "mine": "kept"}


def test_every_kind_of_publishing_passes_here() -> None:
    """By name, as a signature, in a chain, a group, and from one message to the next."""
    bench = Bench()
    bench.app.send_task("by.name")
    chain(bench.task.si(), bench.task.si()).apply_async()
    group(bench.task.si(), bench.task.si()).apply_async()
    chord([bench.task.si()], bench.task.si()).apply_async()
    assert [told[0] for told in bench.heard.told] == ["by.name", *["proj.add"] * 4]
    assert all(SENT_HEADER in headers for headers in bench.headers())


def test_without_the_header_messages_are_reported_all_the_same() -> None:
    """Where the operator has switched it off."""
    bench = Bench(has_header=False)
    bench.task.delay()
    assert [SENT_HEADER in headers for headers in bench.headers()] == [False]
    assert len(bench.heard.told) == 1


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_error_passes_unchanged_and_is_reported(error: BaseException) -> None:
    """The very same object, whatever it is."""
    app = make_app()

    def fail(*_: object, **__: object) -> None:
        raise error

    vars(app.amqp)[NAME] = fail
    bench = Bench(app)
    assert app.conf.task_default_queue == "celery"  # as Celery's own function reads it, which is not made here
    message = app.amqp.as_task_v2("1", "proj.add")
    with pytest.raises(type(error)) as caught:
        app.amqp.send_task_message(None, "proj.add", message, queue="celery")
    assert caught.value is error
    assert bench.heard.told == [("proj.add", "celery", type(error).__name__)]


def test_an_observer_that_raises_costs_nothing_but_the_report() -> None:
    """The message is sent."""
    bench = Bench()
    bench.heard.told = None  # type: ignore[assignment]
    bench.task.delay()
    assert len(bench.headers()) == 1
    assert [type(error) for error in bench.heard.errors] == [AttributeError]


TOPIC = Exchange("events", "topic")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "celery"),
        ({"queue": "orders"}, "orders"),
        ({"queue": Queue("made")}, "made"),
        ({"queue": "everyone"}, "everyone"),
        ({"exchange": "", "routing_key": "orders"}, "celery"),
        ({"exchange": "events", "routing_key": "order.1"}, "orders"),
        ({"exchange": TOPIC, "routing_key": "order.2"}, "orders"),
        ({"exchange": "events", "routing_key": "unbound"}, "other"),
    ],
)
def test_the_queue_is_told(options: dict[str, Any], expected: str) -> None:
    """By name, as an object, by its alias, or by the app's bindings."""
    queues = [Queue("celery"), Queue("orders", TOPIC, routing_key="order.*"), Broadcast("everyone")]
    bench = Bench(task_queues=queues)
    bench.task.apply_async(**options)
    assert bench.heard.told == [("proj.add", expected, None)]


def test_an_app_is_not_configured_by_us() -> None:
    """What is set between then and the first message counts."""
    app = Celery("late", set_as_current=False)
    bench = Bench(app)
    assert not app.configured
    app.conf.broker_url, app.conf.task_default_queue = "memory://", "late"
    bench.task.delay()
    assert bench.heard.told == [("proj.add", "late", None)]


def test_it_is_taken_away_again() -> None:
    """Celery's own function is there, or another package's stays in front without effect of ours."""
    bench = Bench()
    bench.task.delay()
    bench.front.remove()
    assert NAME not in vars(bench.app.amqp)
    bench.task.delay()
    assert [SENT_HEADER in headers for headers in bench.headers()] == [True, False]
    bench = Bench()
    ours = vars(bench.app.amqp)[NAME]
    vars(bench.app.amqp)[NAME] = functools.partial(ours)
    bench.front.remove()
    bench.task.delay()
    assert bench.heard.told == []


def test_another_function_that_stood_there_is_called() -> None:
    """What a test or another package has put in front before us."""
    app, called = make_app(), []
    vars(app.amqp)[NAME] = lambda *args, **_: called.append(args[1])
    bench = Bench(app)
    bench.task.delay()
    assert called == ["proj.add"]
    bench.front.remove()
    assert getattr(app.amqp, NAME).__name__ == "<lambda>"


def test_the_app_can_be_freed() -> None:
    """The front refers to it weakly."""
    bench = Bench()
    front, app = bench.front, weakref.ref(bench.app)
    del bench
    gc.collect()
    assert app() is None
    front.remove()


def test_a_soft_time_limit_that_arrives_in_our_code_reaches_the_task() -> None:
    """A signal's handler raises it while the message is reported; the message is sent."""

    class LimitError(Exception):
        pass

    def raise_limit(*_: object) -> None:
        raise LimitError

    class Interrupted(Heard):
        def published(self, *_: object) -> None:
            signal.raise_signal(signal.SIGUSR2)

    bench, before = Bench(), signal.signal(signal.SIGUSR2, raise_limit)
    bench.front.observer = heard = Interrupted()
    try:
        with pytest.raises(LimitError):
            bench.task.delay()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert heard.errors == []
    assert len(bench.headers()) == 1
