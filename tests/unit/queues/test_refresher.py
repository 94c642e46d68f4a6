"""The refresher: nothing old is shown, a failure is counted and said once, and the thread ends."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from otel_celery import catalogue
from otel_celery.lifecycle import Where
from otel_celery.queues import readings
from otel_celery.queues.figures import Asked, Figures
from otel_celery.queues.refresher import Refresher
from otel_celery.settings.queues import Queues
from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from otel_celery.queues.figures import Answer


class Errors:
    """Hears of what was swallowed."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.heard: list[tuple[Where, Exception]] = []

    def swallowed(self, where: Where, error: Exception) -> None:
        """Hear."""
        self.heard.append((where, error))


class Broker:
    """A broker that answers as the test says."""

    def __init__(self, answers: dict[str, Answer], error: Exception | None = None) -> None:
        """Answer, and then raise."""
        self.answers = answers
        self.error = error
        self.closed = 0

    def ask(self, asked: Asked, _: float) -> Iterator[tuple[str, Answer]]:
        """Answer."""
        for name in asked.names:
            if name in self.answers:
                yield name, self.answers[name]
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Count."""
        self.closed += 1


def refresher(broker: Broker, *names: str, interval: float = 60.0) -> Refresher:
    """Make one that asks this broker."""
    made = Refresher(lambda **_: None, lambda: Asked(names), Queues(interval=interval), Errors())
    made._broker = broker  # type: ignore[assignment]
    return made


def refresh(made: Refresher) -> None:
    """Refresh once."""
    made._refresh(time.monotonic() + 60)


def test_what_exists_is_shown_and_what_does_not_is_absent() -> None:
    """A queue that the broker does not have is no failure."""
    made = refresher(Broker({"a": Figures(3), "b": None}), "a", "b")
    assert made.ready() == "the broker has not been asked yet"
    refresh(made)
    assert made.figures() == {"a": Figures(3)}
    assert (made.failures, made.ready()) == (0, None)
    assert made.refreshed_at is not None


def test_a_queue_that_fails_is_absent_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The others are shown; it is logged once, without the password that the error quotes."""
    error = OSError("cannot reach redis://user:secret@host/0")
    made = refresher(Broker({"a": Figures(3), "b": error}), "a", "b")
    refresh(made)
    refresh(made)
    assert (made.figures(), made.failures, made.ready()) == ({"a": Figures(3)}, 2, None)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "queue 'b' could not be asked" in caplog.text
    assert "secret" not in caplog.text


def test_a_broker_of_which_every_queue_fails_has_not_answered() -> None:
    """A virtual transport raises for each queue while its broker is away: it is closed, and ready says why."""
    broker = Broker({"a": OSError("gone"), "b": OSError("gone")})
    made = refresher(broker, "a", "b")
    refresh(made)
    assert (made.figures(), made.failures, made.refreshed_at) == ({}, 2, None)
    assert made.ready() == "the broker could not be asked: gone"
    assert broker.closed == 1
    broker.answers["a"] = Figures(1)
    refresh(made)
    assert (made.ready(), made.refreshed_at is not None) == (None, True)


def test_names_that_cannot_be_had_are_a_failure() -> None:
    """An app's routes may be anything; no old figure stays, and ready says why until they can be had."""
    made = refresher(Broker({"a": Figures(3)}), "a", interval=0.05)

    def broken() -> Asked:
        raise TypeError("no route")

    named, made._asked = made._asked, broken
    made.start()
    wait_until(lambda: made.failures >= 2, "it is counted")
    assert (made.figures(), made.ready()) == ({}, "the queues could not be asked: no route")
    made._asked = named
    wait_until(lambda: made.ready() is None, "they can be had again")
    made.stop(5)


def test_a_broker_that_is_away_leaves_no_figures(caplog: pytest.LogCaptureFixture) -> None:
    """Not even those of the refresh before; each queue counts as a failure, and both turns are said once."""
    caplog.set_level("INFO", "otel_celery")
    broker = Broker({"a": Figures(3), "b": Figures(0)})
    made = refresher(broker, "a", "b")
    refresh(made)
    broker.answers, broker.error = {}, ConnectionError("refused")
    refresh(made)
    refresh(made)
    assert (made.figures(), made.failures) == ({}, 4)
    assert made.ready() == "the broker could not be asked: refused"
    assert broker.closed == 2
    broker.answers, broker.error = {"a": Figures(1), "b": Figures(0)}, None
    refresh(made)
    assert (made.ready(), made.figures()["a"].length) == (None, 1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_queues_that_were_not_reached_in_time_count_as_failures() -> None:
    """What was told until then is shown."""
    made = refresher(Broker({"a": Figures(3)}), "a", "b", "c")
    refresh(made)
    assert (made.figures(), made.failures) == ({"a": Figures(3)}, 2)
    assert "did not answer within 10 s" in str(made.ready())


def test_no_figure_is_older_than_two_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a refresh hangs, what the last one told disappears, and the process is not ready."""
    made = refresher(Broker({"a": Figures(3)}), "a", interval=10.0)
    refresh(made)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 19)
    assert made.figures()
    monkeypatch.setattr(time, "monotonic", lambda: now + 21)
    assert made.figures() == {}
    assert made.ready() == "the broker has not answered for too long"


def test_a_refresh_that_hangs_makes_the_process_ill() -> None:
    """Until it has gone on for a minute longer than it may, a restart would not help."""
    made = refresher(Broker({}))
    made._began = time.monotonic() - 60
    assert made.healthy() is None
    made._began = time.monotonic() - 71
    assert "has hung for 71 s" in str(made.healthy())


def test_the_thread_refreshes_and_ends() -> None:
    """It closes the connection as it ends, and no error of ours ends it."""
    broker = Broker({"a": Figures(3)})
    made = refresher(broker, "a", interval=1.0)
    asked, errors = [0], made._errors

    def names() -> Asked:
        asked[0] += 1
        if asked[0] == 1:
            raise LookupError("the app is broken")
        return Asked(["a"])

    made._asked = names
    made.start()
    wait_until(made.figures, "it refreshes")
    made.stop(20)
    assert not [thread for thread in threading.enumerate() if thread.name == "otel-celery-queues"]
    assert broker.closed == 1
    assert [where for where, _ in errors.heard] == [Where.QUEUES]  # type: ignore[attr-defined]


def read(made: Refresher, label: Any = str) -> dict[str, dict[str, float]]:
    """Read all that is shown, by metric and queue."""
    return {
        metric.name: {labels.get("queue", ""): value for value, labels in reading()}
        for metric, reading in readings.of(made, label).items()
    }


def test_the_readings_leave_out_what_is_not_told() -> None:
    """A figure that is None has no series; the counter is there from the beginning."""
    made = refresher(Broker({"a": Figures(3, unacked=1, age=2.5), "b": Figures(0, consumers=2)}), "a", "b")
    assert read(made)[catalogue.QUEUE_REFRESH_FAILURES.name] == {"": 0}
    assert read(made)[catalogue.QUEUE_LAST_REFRESH.name] == {}
    refresh(made)
    found = read(made)
    assert found[catalogue.QUEUE_LENGTH.name] == {"a": 3, "b": 0}
    assert found[catalogue.QUEUE_CONSUMERS.name] == {"b": 2}
    assert found[catalogue.QUEUE_UNACKED.name] == {"a": 1}
    assert found[catalogue.QUEUE_OLDEST.name] == {"a": 2.5}


def test_queues_of_one_label_are_added_up() -> None:
    """Where two names are folded into one label there is one series: the sum, and the oldest age."""
    made = refresher(Broker({"a": Figures(3, age=2.5), "b": Figures(4, age=1.0)}), "a", "b")
    refresh(made)
    found = read(made, lambda _: "other")
    assert found[catalogue.QUEUE_LENGTH.name] == {"other": 7}
    assert found[catalogue.QUEUE_OLDEST.name] == {"other": 2.5}
