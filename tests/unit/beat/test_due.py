"""When an entry was due: by every kind of schedule, over changes of the clock, and by entries that do not tell."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import VERSION
from celery.beat import ScheduleEntry
from celery.schedules import crontab, schedule

from otel_celery.beat.due import lag
from tests.unit.beat.fakes import ago, make_app

BERLIN = ZoneInfo("Europe/Berlin")
SLACK = 5.0
"""Seconds that a slow machine may take between two lines."""


def entry(due: Any, last: Any, **conf: Any) -> ScheduleEntry:
    """Make an entry of Celery's."""
    app = make_app(**conf)
    made = ScheduleEntry(name="e", task="proj.e", schedule=due, app=app, last_run_at=ago(days=1))
    made.last_run_at = last
    return made


def about(seconds: float) -> Any:
    """Allow for the time that the test itself takes."""
    return pytest.approx(seconds + SLACK / 2, abs=SLACK / 2)


def test_an_interval() -> None:
    """An entry is due one interval after it last ran; one that is not due yet is not late."""
    assert lag(entry(60.0, ago(seconds=90))) == about(30)
    assert lag(entry(timedelta(hours=1), ago(hours=49))) == about(48 * 3600)
    assert lag(entry(60.0, ago(seconds=30))) == 0.0
    assert lag(entry(60.0, ago(seconds=-3600))) == 0.0


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
def test_a_time_without_a_zone_is_the_schedules(name: str) -> None:
    """A ``nowfun`` may tell such times; Celery reads them in the app's zone."""
    here = datetime.now(ZoneInfo(name)).replace(tzinfo=None)
    due = schedule(60.0, nowfun=lambda: here)
    assert lag(entry(due, here - timedelta(seconds=90), timezone=name)) == 30.0


# An older Celery counts in wall time, here and when it sends.
CLOCKS = {
    "an ordinary day": ((2026, 6, 1), (2026, 6, 2), 600.0),
    "the night that lacks an hour": ((2026, 3, 28), (2026, 3, 29), 600.0),
    "the night that has one twice": ((2026, 10, 24), (2026, 10, 25), 600.0),
    "after three days": ((2026, 3, 27), (2026, 3, 29), 23 * 3600 + 600.0 if VERSION >= (5, 5) else 24 * 3600 + 600.0),
}


@pytest.mark.parametrize(("before", "day", "late"), CLOCKS.values(), ids=CLOCKS)
def test_a_crontab_in_a_zone_with_summer_time(
    before: tuple[int, int, int], day: tuple[int, int, int], late: float
) -> None:
    """Each day at four in Berlin: ten minutes past it is ten minutes late, and counted from the first run missed."""
    last = datetime(*before, 12, tzinfo=BERLIN)
    now = datetime(*day, 4, 10, tzinfo=BERLIN)
    due = crontab(hour=4, minute=0, nowfun=lambda: now)
    assert lag(entry(due, last, timezone="Europe/Berlin")) == late
    assert lag(entry(due, last.astimezone(timezone.utc).astimezone(BERLIN), timezone="Europe/Berlin")) == late


class Raises:
    """A schedule that only says whether it is due."""

    def remaining_estimate(self, last: datetime) -> timedelta:
        """Refuse."""
        raise NotImplementedError(last)


class Says:
    """A schedule that says something else than a duration."""

    def __init__(self, word: Any) -> None:
        """Say this."""
        self.word = word

    def remaining_estimate(self, _: datetime) -> Any:
        """Say it."""
        return self.word


@pytest.mark.parametrize("last", [None, 1_000.5, "yesterday"])
def test_one_that_never_ran(last: Any) -> None:
    """RedBeat's has no last run before its first one: since when it was due is not known."""
    assert lag(entry(60.0, last)) is None


@pytest.mark.parametrize("word", [None, -30, "soon"])
def test_a_schedule_that_does_not_tell(word: Any) -> None:
    """An ``rrule`` that is over returns None."""
    asked = entry(60.0, ago(seconds=90))
    asked.schedule = Says(word)
    assert lag(asked) is None


def test_a_schedule_that_raises() -> None:
    """It passes: the caller guards."""
    asked = entry(60.0, ago(seconds=90))
    asked.schedule = Raises()
    with pytest.raises(NotImplementedError):
        lag(asked)


def test_redbeats(redis_url: str) -> None:
    """RedBeat's entries tell it as Celery's do."""
    redbeat = pytest.importorskip("redbeat.schedulers")
    app = make_app(redbeat_redis_url=redis_url)
    made = redbeat.RedBeatSchedulerEntry("e", "proj.e", schedule(60.0, app=app), app=app)
    made.last_run_at = ago(seconds=90)
    assert lag(made) == about(30)


def test_djangos(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's times are in UTC, whether they say so or not, and a crontab has a zone of its own."""
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule

    app = make_app(timezone="America/New_York")
    minute = IntervalSchedule(every=60, period="seconds")
    model = database.PeriodicTask(name="e", task="proj.e", interval=minute, last_run_at=ago(seconds=90))
    assert lag(database.ModelEntry(model, app=app)) == about(30)
    model.last_run_at = ago(seconds=90).replace(tzinfo=None)
    assert lag(database.ModelEntry(model, app=app)) == about(30)

    now = datetime(2026, 10, 25, 4, 10, tzinfo=BERLIN)
    at_four = CrontabSchedule(hour="4", minute="0", timezone=BERLIN)
    model = database.PeriodicTask(name="c", task="proj.c", crontab=at_four, last_run_at=now - timedelta(hours=12))
    asked = database.ModelEntry(model, app=app)
    monkeypatch.setattr(asked.schedule, "nowfun", lambda: now)
    assert lag(asked) == 600.0


def test_a_start_time(database: Any) -> None:
    """A new entry with a start time is said to have run 30 years before; it is late since its start."""
    from django_celery_beat.models import IntervalSchedule

    minute = IntervalSchedule(every=60, period="seconds")
    model = database.PeriodicTask(name="s", task="proj.s", interval=minute, start_time=ago(seconds=20))
    assert lag(database.ModelEntry(model, app=make_app())) == about(20)
    model.start_time = ago(seconds=-3600)
    assert lag(database.ModelEntry(model, app=make_app())) == 0.0


def test_a_clocked_one(database: Any) -> None:
    """A one-off task is due at its time, whenever it last ran, and asking does not switch it off."""
    from django_celery_beat.models import ClockedSchedule

    once = ClockedSchedule(clocked_time=ago(seconds=45))
    model = database.PeriodicTask(name="o", task="proj.o", clocked=once, one_off=True, total_run_count=1)
    assert lag(database.ModelEntry(model, app=make_app())) == about(45)
    assert model.enabled
