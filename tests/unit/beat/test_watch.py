"""A watch tells what became of each entry, whatever the entry, the observer or the scheduler does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery.beat import ScheduleEntry

from otel_celery.beat.pulse import Pulse
from otel_celery.beat.watch import Watch
from tests.unit.beat.fakes import Ears, ago, make_app
from tests.unit.observe.hostile import hostile

if TYPE_CHECKING:
    from collections.abc import Iterable


def entry(**more: Any) -> Any:
    """Make an entry that was due 30 seconds ago."""
    made = ScheduleEntry(name="e", task="proj.e", schedule=60.0, app=make_app(), last_run_at=ago(seconds=90))
    vars(made).update(more)
    return made


def test_what_is_sent() -> None:
    """What sends it is given through, and the lag is told."""
    ears = Ears()
    assert Watch(ears, ears, Pulse()).send(entry(), lambda: "result") == "result"
    assert ears.heard == [("sent", "proj.e")]
    assert ears.lags[0] == pytest.approx(45, abs=15)


@pytest.mark.parametrize("name", [None, 3, b"proj.e", object()])
def test_a_task_that_is_no_text(name: Any) -> None:
    """It is counted as ``other``."""
    ears = Ears()
    Watch(ears, ears, Pulse()).send(entry(task=name), lambda: None)
    assert ears.heard == [("sent", "other")]


@pytest.mark.parametrize("error", [KeyError, RecursionError])
def test_an_entry_that_raises_from_everything(error: type[BaseException]) -> None:
    """It is sent, and counted as ``other``; its lag alone is lost, and that is told."""
    ears, sent = Ears(), []
    Watch(ears, ears, Pulse()).send(hostile(object, error)(), lambda: sent.append(1))
    assert (ears.heard, ears.lags, sent) == ([("sent", "other")], [None], [1])
    assert [type(each) for each in ears.errors] == [error]


def test_a_schedule_that_raises_costs_its_lag() -> None:
    """The count stands."""
    ears = Ears()
    Watch(ears, ears, Pulse()).send(entry(schedule=None), lambda: None)
    assert (ears.heard, ears.lags) == ([("sent", "proj.e")], [None])
    assert len(ears.errors) == 1


def test_an_observer_that_raises() -> None:
    """Beat goes on, and what was sent stays sent."""

    class Broken(Ears):
        def sent(self, name: str, lag: float | None) -> None:
            raise KeyError(name, lag)

        def failed(self, name: str) -> None:
            raise TypeError(name)

        def expect(self, names: Iterable[str]) -> None:
            raise TypeError(names)

    broken = Broken()
    watch = Watch(broken, broken, Pulse())
    assert watch.send(entry(), lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        watch.send(entry(), lambda: 1 // 0)
    watch.tick_began()
    watch.tick_ended(SimpleNamespace(old_schedulers={"e": entry()}, max_interval=5), 1.0)
    assert [type(each) for each in broken.errors] == [KeyError, TypeError, TypeError]
    assert watch.pulse.longest_sleep() == 5.0


def test_beat_is_told_to_end_while_it_sends() -> None:
    """Neither sent nor failed."""
    ears = Ears()
    watch = Watch(ears, ears, Pulse())
    with pytest.raises(SystemExit):
        watch.send(entry(), lambda: (_ for _ in ()).throw(SystemExit))
    assert ears.heard == []
    watch.send(entry(), lambda: None)
    assert ears.heard == [("sent", "proj.e")]


def test_an_entry_within_another() -> None:
    """The inner call tells, once for each entry that it sends; the outer one adds nothing."""
    ears = Ears()
    watch = Watch(ears, ears, Pulse())
    outer = entry()
    watch.send(outer, lambda: [watch.send(outer, lambda: None), watch.send(entry(task="proj.other"), lambda: None)])
    assert ears.heard == [("sent", "proj.e"), ("sent", "proj.other")]
    assert all(lag is not None and lag >= 30 for lag in ears.lags)


def test_a_schedule_that_changes_is_told_anew() -> None:
    """Its tasks stand at zero; one that has not changed is not told again."""
    ears = Ears()
    watch = Watch(ears, ears, Pulse())
    schedule = {"e": entry(), "f": entry(task="proj.f")}
    scheduler = SimpleNamespace(old_schedulers=schedule, max_interval=5)
    watch.tick_ended(scheduler, 1.0)
    watch.tick_ended(scheduler, 1.0)
    assert (ears.heard, watch.pulse.entries()) == ([("expect", ["proj.e", "proj.f"])], 2)
    scheduler.old_schedulers = {"g": entry(task="proj.g")}
    watch.tick_ended(scheduler, 1.0)
    assert (ears.heard[1:], watch.pulse.entries()) == ([("expect", ["proj.g"])], 1)


@pytest.mark.parametrize("odd", [None, 3, [entry], "text"])
def test_a_schedule_that_is_none(odd: Any) -> None:
    """The number of entries is not known."""
    watch = Watch(Ears(), Ears(), Pulse())
    watch.tick_ended(SimpleNamespace(old_schedulers=odd), 1.0)
    assert watch.pulse.entries() is None
