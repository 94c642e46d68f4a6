"""Which ends the main process tells of, because no child lives to: each once, with Celery's own verdict."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request

from otel_celery.lifecycle import Outcome
from otel_celery.observe.followed import followed
from otel_celery.observe.request import observed
from tests.unit.observe.fakes import Bench, raised

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.observers import RunObserver


class Follower:
    """Remembers what it is told; implements ``observers.RunObserver``."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.told: list[tuple[str, Outcome]] = []
        self.inside = 0

    def received(self, headers: Any) -> None:
        """Write into the headers."""
        headers["mine"] = "1"

    @contextlib.contextmanager
    def within(self, headers: Any) -> Iterator[None]:
        """Count how deep we are."""
        assert headers["mine"] == "1"
        self.inside += 1
        yield
        self.inside -= 1

    def lost(self, headers: Any, started: float, error: BaseException, outcome: Outcome) -> None:
        """Write it down."""
        assert (headers["mine"], started > 0) == ("1", True)
        self.told.append((type(error).__name__, outcome))


class Broken:
    """Fails whatever it is asked."""

    def received(self, headers: Any) -> None:
        """Fail."""
        raise LookupError(headers)

    def within(self, headers: Any) -> Any:
        """Fail."""
        raise LookupError(headers)

    def lost(self, *_: Any) -> None:
        """Fail."""
        raise LookupError


@pytest.fixture
def bench() -> Bench:
    """Prepare a task that is acknowledged early."""
    return Bench()


def receive(bench: Bench, runs: RunObserver) -> Any:
    """Receive a request that is followed, and have the pool accept it."""
    return bench.started(bench.request(bench.final_class(followed(observed(Request, bench.watch), runs))))


def test_what_ends_by_itself_is_left_to_the_child(bench: Bench) -> None:
    """Success and failure are told by the child's own span."""
    runs = Follower()
    receive(bench, runs).on_success((0, 42, 0.25))
    receive(bench, runs).on_success((1, raised(ValueError("x")), None))
    assert runs.told == []


def test_a_lost_child_is_told_once(bench: Bench) -> None:
    """However often Celery comes back to it."""
    runs = Follower()
    request = receive(bench, runs)
    request.on_failure(raised(WorkerLostError("gone")), return_ok=False)
    request.on_failure(raised(WorkerLostError("gone")), return_ok=False)
    assert runs.told == [("WorkerLostError", Outcome.FAILURE)]


def test_a_hard_limit_is_told_once(bench: Bench) -> None:
    """Both callbacks come, in this order."""
    runs = Follower()
    request = receive(bench, runs)
    request.on_timeout(soft=True, timeout=1)
    assert runs.told == []
    request.on_failure(raised(TimeLimitExceeded(1)), return_ok=False)
    request.on_timeout(soft=False, timeout=1)
    assert runs.told == [("TimeLimitExceeded", Outcome.FAILURE)]


def test_a_terminated_run_is_told_as_revoked(bench: Bench) -> None:
    """First it is announced, then the child's end is reported."""
    runs = Follower()
    request = receive(bench, runs)
    request.terminate(bench.pool)
    request.on_failure(raised(Terminated(15)), return_ok=False)
    assert runs.told == [("Terminated", Outcome.REVOKED)]


def test_what_never_started_has_no_span_to_tell_of(bench: Bench) -> None:
    """A request that is revoked while it waits was run by nobody."""
    runs = Follower()
    request = bench.request(bench.final_class(followed(observed(Request, bench.watch), runs)))
    request._announce_revoked("revoked", False, None, False)
    assert runs.told == []


def test_a_follower_that_fails_is_kept_from_the_task(bench: Bench) -> None:
    """The request goes its way, and the mistake is counted."""
    request = receive(bench, Broken())
    request.on_failure(raised(WorkerLostError("gone")), return_ok=False)
    assert bench.life.count("swallowed request") == 3
    assert "ended failure" in bench.life
    assert followed(type(request), Broken()) is type(request)
