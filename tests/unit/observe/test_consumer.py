"""The consumer in front of Celery's: what it tells, in which order, and that Celery's always has its turn."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from otel_celery.observe.consumer import TICK_SECONDS, observed_consumer
from tests.unit.observe.fakes import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_celery.observers import WorkerObserver


class FakeTimer:
    """A timer that remembers."""

    def __init__(self) -> None:
        """Have no entry."""
        self.entries: list[tuple[float, Callable[[], None]]] = []
        self.cancelled: list[Any] = []

    def call_repeatedly(self, seconds: float, call: Callable[[], None]) -> Any:
        """Remember an entry."""
        self.entries.append((seconds, call))
        return self.entries[-1]

    def cancel(self, entry: Any) -> None:
        """Remember what is cancelled."""
        self.cancelled.append(entry)


class FakeConsumer:
    """Celery's consumer, as far as it is overridden: each method is a word."""

    def __init__(self, said: list[str], hub: Any = None) -> None:
        """Say into a list."""
        self.said, self.hub, self.timer = said, hub, FakeTimer()
        self.soon: list[Callable[[], None]] = []
        self.task_buckets = {"a": "a bucket"}

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have the loop call."""
        self.soon.append(call)

    def connect(self) -> str:
        """Connect."""
        self.said.append("Celery connect")
        return "the connection"

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Lose the connection."""
        self.said.append(f"Celery lost {exc}")

    def update_strategies(self) -> None:
        """Build the strategies."""
        self.said.append("Celery update_strategies")

    def reset_rate_limits(self) -> None:
        """Make other buckets."""
        self.said.append("Celery reset_rate_limits")

    def on_ready(self) -> None:
        """Be ready."""
        self.said.append("Celery on_ready")

    def on_close(self) -> None:
        """Forget the requests."""
        self.said.append("Celery on_close")

    def on_unknown_task(self, *args: Any) -> None:
        """Reject a task."""
        self.said.append(f"Celery on_unknown_task {args}")

    def on_unknown_message(self, *args: Any) -> None:
        """Reject a message."""
        self.said.append(f"Celery on_unknown_message {args}")

    def on_invalid_task(self, *args: Any) -> None:
        """Reject a task."""
        self.said.append(f"Celery on_invalid_task {args}")

    def on_decode_error(self, *args: Any) -> None:
        """Acknowledge a message."""
        self.said.append(f"Celery on_decode_error {args}")


class FakeWatch:
    """Whoever is told: each report is a word in the same list."""

    def __init__(self, *, fails: bool = False) -> None:
        """Have been told nothing."""
        self.recorder = Recorder()
        self.observer: WorkerObserver = self.recorder
        self.said = self.recorder.life
        self.fails = fails

    def say(self, word: str) -> None:
        """Write it down, or fail."""
        if self.fails:
            raise LookupError(word)
        self.said.append(word)

    @contextlib.contextmanager
    def in_front(self) -> Iterator[None]:
        """Be in front."""
        self.say("in front")
        yield
        self.say("back")

    def ready(self) -> None:
        """Be ready."""
        self.say("ready")

    def connected(self) -> None:
        """Be connected."""
        self.say("connected")

    def disconnected(self) -> None:
        """Be disconnected."""
        self.say("disconnected")

    def limits_replaced(self, buckets: list[Any]) -> None:
        """Look at old buckets."""
        self.say(f"limits {buckets}")

    def ticked(self) -> None:
        """Tick."""
        self.say("ticked")

    def overdue(self) -> None:
        """Be overdue."""
        self.say("overdue")

    def closing(self) -> Callable[[], None]:
        """Note, and settle later."""
        self.say("closing")
        return lambda: self.say("settled")


def consumer(watch: FakeWatch, hub: Any = "a hub") -> Any:
    """Put the observed class in front of the fake one."""
    return observed_consumer(FakeConsumer, watch)(watch.said, hub)


def test_the_class_stands_in_front_of_what_there_was() -> None:
    """A consumer class of the user's stays in the MRO, and the name says what it is."""
    kind = observed_consumer(FakeConsumer, FakeWatch())
    assert kind.__name__ == "ObservedFakeConsumer"
    assert FakeConsumer in kind.__mro__


def test_a_connection_is_told_once_it_stands() -> None:
    """Celery connects, then it is told, and the connection is handed on."""
    watch = FakeWatch()
    assert consumer(watch).connect() == "the connection"
    assert watch.said == ["Celery connect", "connected"]


def test_a_connection_that_fails_is_not_told() -> None:
    """No connection is told where there is none."""

    class Failing(FakeConsumer):
        """Cannot connect."""

        def connect(self) -> str:
            """Fail."""
            raise ConnectionError

    watch = FakeWatch()
    with pytest.raises(ConnectionError):
        observed_consumer(Failing, watch)(watch.said).connect()
    assert watch.said == []


def test_a_lost_connection_is_told() -> None:
    """The loss is told before Celery handles it."""
    watch = FakeWatch()
    consumer(watch).on_connection_error_after_connected(OSError("gone"))
    assert watch.said == ["disconnected", "Celery lost gone"]


def test_our_classes_are_in_front_while_celery_asks_for_them() -> None:
    """The strategies are made of what is there then, and afterwards it is the application's again."""
    watch = FakeWatch()
    consumer(watch).update_strategies()
    assert watch.said == ["in front", "Celery update_strategies", "back"]


def test_closing_settles_once_celery_has_let_go() -> None:
    """Who waits is noted before, and settled after."""
    watch = FakeWatch()
    consumer(watch).on_close()
    assert watch.said == ["closing", "Celery on_close", "settled"]


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("on_unknown_task", "unknown_task"),
        ("on_unknown_message", "invalid"),
        ("on_invalid_task", "invalid"),
        ("on_decode_error", "undecodable"),
    ],
)
def test_a_message_that_never_becomes_a_task(method: str, reason: str) -> None:
    """It is counted by its reason, and Celery handles it with the same arguments."""
    watch = FakeWatch()
    getattr(consumer(watch), method)("body", "message")
    assert watch.said == [f"unknown {reason}", f"Celery {method} ('body', 'message')"]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("connect", ()),
        ("on_connection_error_after_connected", (OSError(),)),
        ("update_strategies", ()),
        ("on_ready", ()),
        ("on_close", ()),
    ],
)
def test_a_watch_that_fails_does_not_stop_celery(method: str, arguments: tuple[Any, ...]) -> None:
    """Celery has its turn whatever we do wrong, and the mistake is told."""
    watch = FakeWatch(fails=True)
    getattr(consumer(watch), method)(*arguments)
    assert sum(word.startswith("Celery") for word in watch.said) == 1
    assert "swallowed consumer" in watch.said
    assert {word for word in watch.said if not word.startswith("Celery")} == {"swallowed consumer"}


def test_ready_starts_the_ticker() -> None:
    """Once Celery is ready it is told; the loop ticks at once, and then with the timer."""
    watch = FakeWatch()
    each = consumer(watch)
    each.on_ready()
    assert watch.said == ["Celery on_ready", "ready", "ticked"]
    ((seconds, tick),) = each.timer.entries
    assert seconds == TICK_SECONDS
    tick()
    assert watch.said[3:] == ["ticked"]
    assert each.soon == []


def test_a_connection_that_comes_back_begins_the_ticker_anew() -> None:
    """There is one ticker at a time, for some versions clear the timer with the connection."""
    watch = FakeWatch()
    each = consumer(watch)
    each.on_ready()
    first = each.timer.entries[0]
    each.on_ready()
    assert each.timer.cancelled == [first]
    assert len(each.timer.entries) == 2


def test_without_a_hub_the_loop_itself_ticks() -> None:
    """A timer with a thread of its own proves nothing: the loop is asked, and once at a time."""
    watch = FakeWatch()
    each = consumer(watch, hub=None)
    each.on_ready()
    ((_, tick),) = each.timer.entries
    tick()
    assert watch.said[3:] == []
    tick()
    assert watch.said[3:] == ["overdue"], "the loop has not turned since it was asked: the pool may be full"
    assert len(each.soon) == 1
    each.soon.pop()()
    assert watch.said[4:] == ["ticked"]
    tick()
    assert len(each.soon) == 1
