"""What is changed in the interpreter while the port renders, and that it is put back."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from otel_celery.unobtrusive import NEVER, SWITCH_SECONDS, Consideration

if TYPE_CHECKING:
    from collections.abc import Iterator


def found() -> tuple[int, float]:
    """Look at the interpreter."""
    return gc.get_threshold()[2], round(sys.getswitchinterval(), 6)


OURS = (NEVER, SWITCH_SECONDS)


@pytest.fixture(autouse=True)
def _kept() -> Iterator[None]:
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.set_threshold(*before)
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("interval", [0.005, 0.0001])
def test_what_was_set_is_set_again(interval: float) -> None:
    """Also after an error; an interval that is short already is left alone."""
    sys.setswitchinterval(interval)
    before = found()
    consideration = Consideration()
    with suppress(ZeroDivisionError), consideration.working():
        assert found() == (NEVER, min(interval, SWITCH_SECONDS))
        raise ZeroDivisionError
    assert found() == before


def test_the_last_of_two_puts_it_back() -> None:
    """The port of one worker and the push of another in the same process."""
    before = found()
    consideration = Consideration()
    first, second = consideration.working(), consideration.working()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert found() == OURS
    second.__exit__(None, None, None)
    assert found() == before


def test_what_somebody_sets_meanwhile_stays() -> None:
    """Neither an interval nor a threshold that the application sets while the port renders is taken back."""
    with Consideration().working():
        sys.setswitchinterval(0.002)
        gc.set_threshold(700, 10, 20)
    assert found() == (20, 0.002)


def test_who_sets_thresholds_by_those_that_are_there_keeps_full_collections() -> None:
    """``gc.set_threshold(50_000)`` leaves the others as they are, and a usual recipe doubles them: one is ours."""
    before = gc.get_threshold()
    consideration = Consideration()
    with consideration.working():
        gc.set_threshold(50_000)
    assert gc.get_threshold() == (50_000, *before[1:])
    with consideration.working():
        young, middle, full = gc.get_threshold()
        gc.set_threshold(young, middle * 2, full * 2)
    assert gc.get_threshold() == (50_000, before[1] * 2, before[2] * 2)


@pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning")  # eventlet's, where another test has imported it
def test_a_forked_child_has_what_the_parent_had() -> None:
    """A fork that did not wait for the rendering leaves no child without garbage collection."""
    before = found()
    consideration = Consideration()
    with consideration.working():
        pid = os.fork()
        if pid == 0:
            with consideration.working():
                is_ours = found() == OURS
            os._exit(0 if (is_ours, found()) == (True, before) else 1)
        assert found() == OURS
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert found() == before
