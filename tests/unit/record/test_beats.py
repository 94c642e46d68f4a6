"""The counts of a beat: by task, bounded, at zero for what a schedule has, and read without being changed."""

from __future__ import annotations

import pytest

from otel_celery import catalogue
from otel_celery.beat.pulse import Pulse
from otel_celery.record.beats import BeatTallies
from otel_celery.record.labels import Labels
from otel_celery.settings.settings import Bounds


class Recorders:
    """Opens series, and keeps what they record."""

    def __init__(self) -> None:
        """Begin without series."""
        self.recorded: dict[str, list[float]] = {}

    def __call__(self, metric, attributes):
        """Open one."""
        assert metric is catalogue.BEAT_LAG
        values = self.recorded.setdefault(attributes["task_name"], [])

        class Recorder:
            def record(self, value: float) -> None:
                values.append(value)

        return Recorder()


class Levels(Pulse):
    """A scheduler's state."""

    def __init__(self, last: float | None = None, number: int | None = None) -> None:
        """Be this."""
        super().__init__()
        self.last, self.number = last, number

    def last_tick(self) -> float | None:
        """Tell it."""
        return self.last

    def entries(self) -> int | None:
        """Tell it."""
        return self.number


@pytest.fixture
def recorders() -> Recorders:
    """Keep the lags."""
    return Recorders()


def tallies(recorders: Recorders, **bounds) -> tuple[BeatTallies, list[str]]:
    """Make the counts, and the list of what was folded."""
    folded: list[str] = []
    return BeatTallies(Labels(Bounds(**bounds), folded.append), recorders), folded


def read(counts: BeatTallies, metric: catalogue.Metric) -> dict[str, float]:
    """Read a metric by task, each once."""
    points = list(counts.readings(Levels())[metric]())
    assert len({labels["task_name"] for _, labels in points}) == len(points)
    return {labels["task_name"]: value for value, labels in points}


def test_what_was_sent(recorders: Recorders) -> None:
    """Each task has its counts; a lag that is not known is no observation."""
    counts, _ = tallies(recorders)
    counts.sent("a", 0.25)
    counts.sent("a", None)
    counts.failed("b")
    assert read(counts, catalogue.BEAT_SENT) == {"a": 2, "b": 0}
    assert read(counts, catalogue.BEAT_FAILURES) == {"a": 0, "b": 1}
    assert recorders.recorded == {"a": [0.25], "b": []}


def test_a_schedules_tasks_stand_at_zero(recorders: Recorders) -> None:
    """Those of the schedule as it is now, and those that were sent; the empty name is ``other``."""
    counts, _ = tallies(recorders)
    counts.expect(["a", "b", "a", ""])
    counts.sent("a", 0.0)
    assert read(counts, catalogue.BEAT_SENT) == {"a": 1, "b": 0, "other": 0}
    counts.expect(["c"])
    assert read(counts, catalogue.BEAT_FAILURES) == {"a": 0, "c": 0}


def test_the_bound(recorders: Recorders) -> None:
    """Zeros take the places that are left, and give way; beyond the bound a task is ``other``, and that is counted."""
    counts, folded = tallies(recorders, task_names=2)
    counts.expect(["a", "b", "c"])
    assert read(counts, catalogue.BEAT_SENT) == {"a": 0, "b": 0}
    for name in ("c", "d", "e"):
        counts.sent(name, 1.0)
    assert read(counts, catalogue.BEAT_SENT) == {"c": 1, "d": 1, "other": 1}
    assert folded == ["task_name"]


def test_what_the_operator_leaves_out(recorders: Recorders) -> None:
    """It is counted as ``other``."""
    counts, _ = tallies(recorders, deny=("celery.*",))
    counts.expect(["celery.backend_cleanup"])
    counts.sent("celery.backend_cleanup", 1.0)
    assert read(counts, catalogue.BEAT_SENT) == {"other": 1}


def test_the_levels(recorders: Recorders) -> None:
    """What is not known is absent."""
    counts, _ = tallies(recorders)
    known = counts.readings(Levels(1_000.5, 3))
    assert list(known[catalogue.BEAT_LAST_TICK]()) == [(1_000.5, {})]
    assert list(known[catalogue.BEAT_ENTRIES]()) == [(3, {})]
    unknown = counts.readings(Levels())
    assert [list(unknown[each]()) for each in (catalogue.BEAT_LAST_TICK, catalogue.BEAT_ENTRIES)] == [[], []]
