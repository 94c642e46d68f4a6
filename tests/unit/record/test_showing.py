"""A reading that fails costs its own metric, and equal labels are told by one object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.lifecycle import Where
from otel_celery.record.errors import Errors
from otel_celery.record.showing import Lasting, guarded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest


def test_a_reading_that_fails_is_counted_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its exception does not reach whoever collects."""
    errors = Errors()

    def fail() -> list[tuple[float, Mapping[str, str]]]:
        raise LookupError("gone")

    assert guarded(fail, errors, lambda: False)() == []
    assert errors.counts[Where.LEVELS] == 1
    assert "gone" in caplog.text


def test_a_reading_that_would_end_the_process_is_counted_too() -> None:
    """What users name may raise SystemExit; the thread that collects serves the port."""
    errors = Errors()

    def leave() -> list[tuple[float, Mapping[str, str]]]:
        raise SystemExit(3)

    assert guarded(leave, errors, lambda: False)() == []
    assert errors.counts[Where.LEVELS] == 1


def test_nothing_is_read_once_it_is_closed() -> None:
    """The reading is not even called."""
    asked: list[bool] = []

    def read() -> list[tuple[float, Mapping[str, str]]]:
        asked.append(True)
        return [(1, {})]

    is_open = guarded(read, Errors(), lambda: False)
    is_closed = guarded(read, Errors(), lambda: True)
    assert (is_open(), is_closed(), asked) == ([(1, {})], [], [True])


def test_equal_labels_are_one_object() -> None:
    """From one reading to the next, and until a series is gone."""
    queues = ["a", "b"]
    read = Lasting(lambda: [(number, {"queue": queue}) for number, queue in enumerate(queues)])
    (_, first), (_, gone) = read()
    queues[:] = ["c", "a"]
    (_, new), (value, again) = read()
    assert again is first
    assert (value, new) == (1, {"queue": "c"})
    queues[:] = ["b"]
    ((_, back),) = read()
    assert back == gone
    assert back is not gone
