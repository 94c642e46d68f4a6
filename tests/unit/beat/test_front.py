"""The class in front of a scheduler: of Celery's, django-celery-beat's, RedBeat's and users' own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery.beat import PersistentScheduler, Scheduler, SchedulingError
from kombu.exceptions import OperationalError

from otel_celery.beat.front import UnobservedError, put_in_front, take_away
from otel_celery.beat.pulse import Pulse
from otel_celery.beat.watch import Watch
from tests.unit.beat.fakes import Ears, make_app

if TYPE_CHECKING:
    from pathlib import Path

EXPECTED = [("expect", ["proj.often"]), ("sent", "proj.often")]


@pytest.fixture
def ears() -> Ears:
    """Hear what beat does."""
    return Ears()


def watched(scheduler: Any, ears: Ears) -> Watch:
    """Put a class in front of a scheduler."""
    watch = Watch(ears, ears, Pulse())
    put_in_front(scheduler, watch)
    return watch


def test_celerys_own(ears: Ears, tmp_path: Path) -> None:
    """The default scheduler ticks as before, is of its class, and what it sends is heard once."""
    scheduler = PersistentScheduler(make_app(result_expires=None), schedule_filename=str(tmp_path / "schedule"))
    watch = watched(scheduler, ears)
    assert scheduler.tick() == 0
    assert isinstance(scheduler, PersistentScheduler)
    assert (type(scheduler).__name__, type(scheduler).__module__) == ("PersistentScheduler", "celery.beat")
    assert sorted(ears.heard) == sorted(EXPECTED)
    assert watch.pulse.entries() == 1
    assert ears.errors == []
    scheduler.close()


def test_djangos(ears: Ears, database: Any) -> None:
    """An entry from the database is sent, and the schedule counted, without a query of ours."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    database.PeriodicTask.objects.all().delete()
    scheduler = database.DatabaseScheduler(make_app(result_expires=None))
    assert [scheduler.tick() for _ in range(3)] == [0, 0, 0]  # the first ones also write down what has changed
    with CaptureQueriesContext(connection) as bare:
        scheduler.tick()
    watch = watched(scheduler, ears)
    with CaptureQueriesContext(connection) as observed:
        assert scheduler.tick() == 0
    assert [query["sql"] for query in observed] == [query["sql"] for query in bare] != []
    assert sorted(ears.heard) == sorted(EXPECTED)
    assert watch.pulse.entries() == 1
    assert watch.pulse.longest_sleep() == 5.0
    assert ears.errors == []


def test_redbeats(ears: Ears, redis_url: str) -> None:
    """RedBeat sends without ``apply_entry``, and Redis is asked for the number of its entries."""
    redbeat = pytest.importorskip("redbeat.schedulers")
    app = make_app(result_expires=None, redbeat_redis_url=redis_url, redbeat_lock_key=None)
    app.conf.beat_schedule["later"] = {"task": "proj.later", "schedule": 3600.0}
    redbeat.get_redis(app).flushdb()
    scheduler = redbeat.RedBeatScheduler(app)
    scheduler.lock_key = None  # whose lock beat_init takes
    watch = watched(scheduler, ears)
    scheduler.tick()
    assert [word for word in ears.heard if word[0] == "sent"] == [("sent", "proj.often")]
    assert ("expect", ["proj.later", "proj.often"]) in ears.heard
    assert watch.pulse.entries() == 2
    assert ears.errors == []


class OwnWay(Scheduler):
    """A scheduler that publishes by itself."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send without ``apply_async``."""
        if entry.name == "worse":
            raise KeyError(entry.name)
        self.app.send_task(entry.task, producer=producer)


def test_one_that_sends_by_itself(ears: Ears) -> None:
    """What ``apply_entry`` does is believed: it returns, so the task was sent; it raises, so it was not."""
    app = make_app()
    scheduler = OwnWay(app)
    watched(scheduler, ears)
    scheduler.tick()
    assert ("sent", "proj.often") in ears.heard
    with pytest.raises(KeyError):
        scheduler.apply_entry(scheduler.Entry(name="worse", task="proj.worse", schedule=1.0, app=app))
    assert ears.heard[-1] == ("failed", "proj.worse")


def test_a_failure_is_counted_once_and_passes(ears: Ears, caplog: pytest.LogCaptureFixture) -> None:
    """Celery logs what ``apply_async`` raises, and we count it, once."""
    app = make_app()
    app.amqp.send_task_message = lambda *_, **__: 1 // 0
    scheduler = Scheduler(app)
    watched(scheduler, ears)
    assert scheduler.tick() == 0
    assert sorted(ears.heard) == [("expect", ["proj.often"]), ("failed", "proj.often")]
    assert "Message Error" in caplog.text
    with pytest.raises(SchedulingError):
        scheduler.apply_async(next(iter(scheduler.schedule.values())))
    assert ears.heard[-1] == ("failed", "proj.often")
    assert len(ears.heard) == 3


class Slotted:
    """A scheduler without a ``__dict__``, which is none of Celery's."""

    __slots__ = ("max_interval",)

    def tick(self) -> float:
        """Do nothing."""
        self.max_interval = 7
        return 1.5


def test_one_with_slots(ears: Ears) -> None:
    """The class adds no attribute to the object."""
    scheduler = Slotted()
    watch = watched(scheduler, ears)
    assert scheduler.tick() == 1.5
    assert watch.pulse.longest_sleep() == 7.0
    assert watch.pulse.entries() is None
    assert not hasattr(scheduler, "__dict__")


class Final(type):
    """Lets nobody derive from a class."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Final:
        """Refuse a second generation."""
        if any(isinstance(base, Final) for base in bases):
            raise TypeError("final")
        return super().__new__(cls, name, bases, body)


class Proxy(type):
    """Makes another class than it is asked for."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        """Give the first generation again."""
        return bases[0] if bases else super().__new__(cls, name, bases, body)


class Last(metaclass=Final):
    """Cannot be derived from."""


class Same(metaclass=Proxy):
    """Is what is derived from it."""


class Deaf:
    """Refuses subclasses by the hook for them."""

    def __init_subclass__(cls) -> None:
        """Refuse."""
        raise SystemExit(3)


class Own:
    """Has its ``tick`` in the object."""

    def __init__(self) -> None:
        """Hide the class's."""
        self.tick = lambda: 1


@pytest.mark.parametrize("kind", [Last, Same, Deaf, Own])
def test_one_that_nothing_can_be_put_in_front_of(kind: type, ears: Ears) -> None:
    """One sentence says why, and the scheduler is as it was."""
    scheduler = kind()
    with pytest.raises(
        UnobservedError, match=rf"beat's metrics are off: its scheduler \S+\.{kind.__name__} cannot be "
    ):
        put_in_front(scheduler, Watch(ears, ears, Pulse()))
    assert type(scheduler) is kind


def test_it_is_taken_away(ears: Ears) -> None:
    """Afterwards the scheduler is of its own class, and nothing is heard; a bare one stays as it is."""
    scheduler = Scheduler(make_app())
    watched(scheduler, ears)
    take_away(scheduler)
    take_away(scheduler)
    assert type(scheduler) is Scheduler
    scheduler.tick()
    assert ears.heard == []


def test_a_failed_attempt_to_connect(ears: Ears) -> None:
    """It is an attempt of the entry that waits for the broker, and shows that beat lives; Celery's own word stays."""
    app = make_app(broker_url="redis://127.0.0.1:1/0", broker_connection_max_retries=1)
    scheduler = Scheduler(app)
    watch = watched(scheduler, ears)
    errors: list[Any] = []
    with pytest.raises(OperationalError):
        scheduler.connection.ensure_connection(lambda error, _: errors.append(error), 1, interval_start=0.01)
    assert (ears.heard, len(errors)) == ([("failed", "other")] * 2, 1)
    assert watch.pulse.waits_for_broker()
    with pytest.raises(OperationalError):
        scheduler.tick()
    assert ears.heard[2:] == [("failed", "proj.often")] * 2
    assert watch.pulse.silence() is not None
    scheduler.connection = None  # as one may
    assert scheduler.connection is None
    assert ears.errors == []


class OwnConnection(Scheduler):
    """A scheduler that has a connection of another kind."""

    connection = "mine"


def test_a_connection_of_a_users_own_is_left_alone(ears: Ears) -> None:
    """Celery's alone is reported."""
    scheduler = OwnConnection(make_app())
    watched(scheduler, ears)
    assert scheduler.connection == "mine"


def test_a_tick_that_raises_is_none(ears: Ears) -> None:
    """It ends beat, and so shows no life at its end."""

    class Broken(Scheduler):
        def tick(self) -> float:
            raise KeyError

    scheduler = Broken(make_app())
    watch = watched(scheduler, ears)
    with pytest.raises(KeyError):
        scheduler.tick()
    assert watch.pulse.entries() is None
