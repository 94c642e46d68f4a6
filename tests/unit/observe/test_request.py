"""The ordered list of reports for every way in which a request can go: once received, and ended once."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import celery
import pytest
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery import states
from celery.exceptions import Ignore, InvalidTaskError, Reject, Retry, TaskRevokedError
from celery.worker import state
from celery.worker.request import Request
from kombu.exceptions import EncodeError

from otel_celery.observe.life import accepted_at, is_active, is_observed, is_waiting, returned
from otel_celery.observe.request import Observed, ObservedInTrace, observed
from tests.unit.observe.fakes import Bench, BrokenBook, raised

CELERY = tuple(int(part) for part in celery.__version__.split(".")[:2])
NEWEST = pytest.mark.skipif(CELERY < (5, 7), reason="Celery 5.7 asks for a lost child's result")


@pytest.fixture
def bench() -> Bench:
    """Prepare a task that is acknowledged early."""
    return Bench()


@pytest.fixture
def late() -> Bench:
    """Prepare a task that is acknowledged late."""
    return Bench(acks_late=True)


def in_an_hour() -> str:
    """Tell the time in an hour, as messages have it."""
    return (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()


# -- the plain ends ----------------------------------------------------------------------------------------------------


def test_a_task_that_returns(bench: Bench) -> None:
    """Received, started, succeeded, with our duration and Celery's own runtime."""
    bench.started(seconds=5).on_success((0, 42, 0.25))
    assert bench.life == ["received", "started", "ended success"]
    assert bench.book.durations == [pytest.approx(5, abs=0.5)]
    assert bench.book.runtimes == [0.25]
    assert bench.acks == ["ack"]


def test_a_task_that_raises(bench: Bench) -> None:
    """The failure has its class and our duration, and no runtime."""
    bench.started(seconds=5).on_success((1, raised(ValueError("secret")), None))
    assert bench.life == ["received", "started", "ended failure", "raised ValueError"]
    assert bench.book.durations == [pytest.approx(5, abs=0.5)]
    assert bench.book.runtimes == [None]


def test_an_exception_that_could_not_be_pickled_keeps_its_name(bench: Bench) -> None:
    """A class that is local to a function arrives in a wrapper, and is counted under its own name."""
    from celery.utils.serialization import get_pickleable_exception

    class LocalError(Exception):
        """Cannot be pickled."""

    wrapped = get_pickleable_exception(LocalError("x"))
    bench.started().on_success((1, raised(wrapped), None))
    assert type(wrapped) is not LocalError
    assert bench.life[-1] == "raised LocalError"


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (Retry("again", ValueError("why"), 3), "ended retry"),
        (Retry("again"), "ended retry"),
        (Reject("no", requeue=False), "ended rejected"),
        (Reject("no", requeue=True), "ended rejected"),
        (Ignore(), "ended ignored"),
    ],
    ids=["retry", "bare retry", "reject", "requeue", "ignore"],
)
@pytest.mark.parametrize("acks_late", [False, True], ids=["early", "late"])
def test_a_task_that_ends_by_an_exception_of_celerys(error: Exception, end: str, acks_late: bool) -> None:  # noqa: FBT001
    """Retry, Reject and Ignore are ends of their own, once each, and no failures."""
    bench = Bench(acks_late=acks_late)
    bench.started().on_success((1, raised(error), None))
    assert bench.life == ["received", "started", end]


def test_a_rejection_gives_the_message_back_once(late: Bench) -> None:
    """The broker hears of a Reject what it heard before us."""
    late.started().on_success((1, raised(Reject("no", requeue=True)), None))
    assert late.acks == ["requeue"]


def test_a_redelivered_message(bench: Bench) -> None:
    """What the broker delivers again is told apart."""
    bench.request(redelivered=True)
    assert bench.life == ["received again"]


def test_the_registered_name_counts_not_the_shadow(bench: Bench) -> None:
    """The publisher's shadow is free text, and finds no books."""
    bench.request(shadow="anything at all")
    assert list(bench.watch.recorder.books) == [("proj.add", "q")]


def test_only_the_first_end_counts(bench: Bench) -> None:
    """Whatever is called back after the end is ignored."""
    request = bench.started()
    request.on_success((0, 42, 0.25))
    request.on_failure(raised(ValueError()))
    request.on_timeout(soft=False, timeout=3)
    request.reject()
    returned(request)
    assert [word for word in bench.life if word.startswith("ended")] == ["ended success"]


def test_a_request_can_be_given_back(bench: Bench) -> None:
    """What was never run is returned, without a duration; a start that comes afterwards is another run's."""
    request = bench.request()
    assert is_waiting(request)
    returned(request)
    bench.started(request)
    assert bench.life == ["received", "ended returned"]
    assert bench.book.durations == [None]
    assert not is_waiting(request)


def test_the_wait_is_from_received_to_accepted(bench: Bench) -> None:
    """The time in the worker's own queue is told at the start, and never below zero."""
    request = bench.request()
    request._otel_runnable_at -= 2.0
    bench.started(request)
    bench.started(seconds=100)
    first, second = bench.book.waits
    assert first == pytest.approx(2.0, abs=0.5)
    assert second == 0.0


def test_what_is_known_of_a_request(bench: Bench) -> None:
    """A request is observed, active until it ends, and knows when it was accepted."""
    request = bench.request()
    assert (is_observed(request), is_active(request), is_waiting(request), accepted_at(request)) == (
        True,
        True,
        True,
        None,
    )
    now = time.monotonic()
    request.on_accepted(1, now)
    assert (is_waiting(request), accepted_at(request)) == (False, now)
    request.on_success((0, 42, 0.25))
    assert not is_active(request)


def test_a_request_that_nobody_observes_is_left_alone() -> None:
    """Questions about a plain request of Celery's have plain answers."""
    bench = Bench()
    request = bench.request(bench.final_class(Request))
    assert (is_observed(request), is_active(request), accepted_at(request)) == (False, True, None)
    assert bench.life == []


def test_a_request_without_books_reports_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is received while nobody watches stays unobserved to its end."""
    monkeypatch.setattr(bench.watch, "books_of", lambda *_: None)
    request = bench.started()
    request.on_timeout(soft=True, timeout=1)
    request.on_success((0, 42, 0.25))
    request.on_failure(raised(ValueError()))
    request.on_failure(raised(WorkerLostError()))
    assert bench.life == []
    assert not is_observed(request)


@pytest.mark.parametrize("acks_late", [False, True], ids=["early", "late"])
def test_an_end_without_a_run_is_no_success(acks_late: bool) -> None:  # noqa: FBT001
    """What Celery skips as a duplicate (worker_deduplicate_successful_tasks) has no result and no runtime."""
    bench = Bench(acks_late=acks_late)
    bench.app.conf.worker_deduplicate_successful_tasks = True
    request = bench.started(seconds=5)
    request.delivery_info["redelivered"] = True
    request.on_success((0, None, None))
    assert bench.life == ["received", "started", "ended ignored"]
    assert (bench.book.durations, bench.book.runtimes) == ([None], [None])
    assert bench.acks == ["ack"]


@pytest.mark.parametrize(("asked_for", "redelivered"), [(False, False), (True, False), (False, True)])
def test_an_end_without_result_and_runtime_is_a_success(*, asked_for: bool, redelivered: bool) -> None:
    """A Strategy that tells of an end by itself may have no more to say, where Celery cannot have skipped the run."""
    bench = Bench()
    bench.app.conf.worker_deduplicate_successful_tasks = asked_for
    request = bench.started(seconds=5)
    request.delivery_info["redelivered"] = redelivered
    request.on_success((0, None, None))
    assert bench.life == ["received", "started", "ended success"]
    assert bench.book.durations == [pytest.approx(5, abs=2)]


def test_a_result_without_a_runtime_is_a_success(bench: Bench) -> None:
    """A Strategy of somebody's own need not measure."""
    bench.started().on_success((0, "done", None))
    assert bench.life == ["received", "started", "ended success"]


# -- in this very process ----------------------------------------------------------------------------------------------


def run_here(bench: Bench, body: Any) -> Any:
    """Have a request run itself, as a Strategy of somebody's own may."""
    bench.task.run = body
    bench.task.__trace__ = None
    return bench.request()


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, "ended success"),
        (ValueError("x"), "ended failure"),
        (Retry("again"), "ended retry"),
        (Ignore(), "ended ignored"),
        (Reject("no"), "ended rejected"),
    ],
    ids=["return", "raise", "retry", "ignore", "reject"],
)
@pytest.mark.parametrize("acks_late", [False, True], ids=["early", "late"])
def test_a_request_that_runs_itself(error: Exception | None, end: str, acks_late: bool) -> None:  # noqa: FBT001
    """What came of it is counted, not what becomes of its message: Celery rejects that of a failure."""

    def body() -> str:
        if error is not None:
            raise error
        return "done"

    bench = Bench(acks_late=acks_late)
    request = run_here(bench, body)
    request.execute()
    assert bench.life[:3] == ["received", "started", end]
    assert bench.life[3:] == (["raised ValueError"] if isinstance(error, ValueError) else [])
    assert bench.book.durations != [None]
    assert bench.acks


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_an_exit_of_a_request_that_runs_itself(bench: Bench, error: BaseException) -> None:
    """It passes through, and is a failure."""

    def body() -> None:
        raise error

    with pytest.raises(type(error)):
        run_here(bench, body).execute()
    assert bench.life == ["received", "started", "ended failure", "raised WorkerLostError"]


def test_a_revoked_request_does_not_run_itself(bench: Bench, revoked_id: Any) -> None:
    """It ends as revoked, and never started."""
    request = run_here(bench, lambda: None)
    revoked_id(request)
    request.execute()
    assert bench.life == ["received", "ended revoked", "revoked revoked"]
    assert bench.book.durations == [None]


def test_a_request_of_a_class_that_celery_did_not_finish(bench: Bench) -> None:
    """A Strategy that makes requests of the task's class itself is heard as well."""
    request = bench.request(observed(Request, bench.watch))
    request.execute_using_pool(bench.pool)
    (job,) = bench.pool.jobs
    job["accept_callback"](4321, time.monotonic())
    job["callback"]((0, 42, 0.25))
    assert bench.life == ["received", "started", "ended success"]


# -- revoked -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def revoked_id():
    """Revoke ids, and forget them again."""
    ids: list[str] = []

    def revoke(request: Any) -> None:
        state.revoked.add(request.id)
        ids.append(request.id)

    yield revoke
    for each in ids:
        state.revoked.discard(each)


def test_revoked_before_it_starts(bench: Bench, revoked_id: Any) -> None:
    """A revoked request ends without having started."""
    request = bench.request()
    revoked_id(request)
    with pytest.raises(TaskRevokedError):
        request.execute_using_pool(bench.pool)
    assert bench.life == ["received", "ended revoked", "revoked revoked"]
    assert bench.book.durations == [None]


def test_expired_at_its_arrival(bench: Bench) -> None:
    """An expired request was received all the same."""
    request = bench.request(expires=(datetime.now(timezone.utc) - timedelta(hours=1)).isoformat())
    assert request.revoked()
    assert bench.life == ["received", "ended revoked", "revoked expired"]
    state.revoked.discard(request.id)


def test_terminated_while_it_runs(bench: Bench) -> None:
    """On prefork the revocation comes first, then the child's Terminated."""
    request = bench.started(seconds=5)
    request.terminate(bench.pool, "TERM")
    request.on_failure(raised(Terminated(15)))
    assert bench.life == ["received", "started", "ended revoked", "revoked terminated"]
    assert bench.book.durations == [pytest.approx(5, abs=0.5)]
    assert bench.pool.killed == [4321]


def test_terminated_by_somebody_else(bench: Bench) -> None:
    """A child that dies of SIGTERM unasked is revoked too, for Celery says so."""
    bench.started().on_failure(raised(Terminated(15)))
    assert bench.life == ["received", "started", "ended revoked", "revoked terminated"]


def test_terminated_before_it_was_accepted(bench: Bench) -> None:
    """A termination that waits for the start is reported after it."""
    request = bench.request()
    request.terminate(bench.pool, "TERM")
    assert bench.life == ["received"]
    bench.started(request)
    assert bench.life == ["received", "started", "ended revoked", "revoked terminated"]


def test_terminated_on_eventlet(bench: Bench) -> None:
    """The greenlet comes back as if it had returned None, before the revocation is told."""
    request = bench.started()
    bench.pool.on_kill = lambda: request.on_success((False, None, None))
    request.terminate(bench.pool, "TERM")
    assert bench.life == ["received", "started", "ended revoked", "revoked terminated"]
    assert bench.book.runtimes == [None]


def test_terminated_on_gevent(bench: Bench) -> None:
    """The greenlet comes back as if it had returned None, after the revocation was told."""
    request = bench.started()
    request.terminate(bench.pool, "TERM")
    request.on_success((False, None, None))
    assert bench.life == ["received", "started", "ended revoked", "revoked terminated"]


def test_a_success_that_was_under_way_when_it_was_terminated(bench: Bench) -> None:
    """A real result has a runtime: it is a success, whatever was asked for meanwhile."""
    request = bench.started()
    bench.pool.on_kill = lambda: request.on_success((False, None, 0.25))
    request.terminate(bench.pool, "TERM")
    assert bench.life == ["received", "started", "ended success"]


# -- time limits -------------------------------------------------------------------------------------------------------


def test_a_soft_limit(bench: Bench) -> None:
    """The limit is noted, the failure is the task's own."""
    from billiard.exceptions import SoftTimeLimitExceeded

    request = bench.started()
    request.on_timeout(soft=True, timeout=1)
    request.on_success((1, raised(SoftTimeLimitExceeded()), None))
    assert bench.life == ["received", "started", "timed out soft", "ended failure", "raised SoftTimeLimitExceeded"]
    assert bench.watch.pids == []


def test_a_soft_limit_that_is_caught(bench: Bench) -> None:
    """A task may survive its soft limit."""
    request = bench.started()
    request.on_timeout(soft=True, timeout=1)
    request.on_success((0, 42, 1.5))
    assert bench.life == ["received", "started", "timed out soft", "ended success"]


@pytest.mark.parametrize("acks_late", [False, True], ids=["early", "late"])
def test_a_hard_limit(acks_late: bool) -> None:  # noqa: FBT001
    """On prefork the failure comes first, then the limit; it is one failure, and the child's pid is told."""
    bench = Bench(acks_late=acks_late)
    request = bench.started()
    request.on_failure(raised(TimeLimitExceeded(1)))
    request.on_timeout(soft=False, timeout=1)
    assert bench.life == ["received", "started", "ended failure", "raised TimeLimitExceeded", "timed out hard"]
    assert bench.watch.pids == [4321]


def test_a_hard_limit_on_gevent(bench: Bench) -> None:
    """Only the limit is told, and it is the end."""
    bench.started().on_timeout(soft=False, timeout=1)
    assert bench.life == ["received", "started", "timed out hard", "ended failure", "raised TimeLimitExceeded"]


def test_a_hard_limit_that_gives_the_message_back() -> None:
    """With acks_on_timeout off the message is requeued, and the failure is no rejection."""
    option: dict[str, Any] = {"acks_on_timeout": False} if CELERY >= (5, 7) else {"acks_on_failure_or_timeout": False}
    bench = Bench(acks_late=True, **option)
    request = bench.started()
    request.on_failure(raised(TimeLimitExceeded(1)))
    assert bench.life == ["received", "started", "ended failure", "raised TimeLimitExceeded"]
    assert bench.acks in (["requeue"], ["reject"])


# -- lost children -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [WorkerLostError("SIGKILL"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_lost_child(error: BaseException) -> None:
    """However a child went, its task failed by the loss, once, and whichever of pipe and process spoke first."""
    bench = Bench()
    request = bench.started()
    with contextlib.suppress(EncodeError):  # before 5.7 Celery itself cannot store what is no Exception
        request.on_failure(raised(error))
    assert bench.life == ["received", "started", "ended failure", "raised WorkerLostError"]


def test_a_lost_child_whose_message_is_given_back() -> None:
    """reject_on_worker_lost requeues the message; the run was a failure, not a rejection."""
    bench = Bench(acks_late=True, reject_on_worker_lost=True)
    bench.started().on_failure(raised(WorkerLostError()))
    assert bench.life == ["received", "started", "ended failure", "raised WorkerLostError"]
    assert bench.acks == ["requeue"]


@pytest.mark.parametrize(("event", "end"), [("task-succeeded", "ended success"), ("task-retried", "ended retry")])
def test_celerys_verdict_on_a_lost_child(bench: Bench, event: str, end: str) -> None:
    """What Celery announces while it handles the loss is what it was."""

    class Deciding(Request):
        """Decides as Celery 5.7 does."""

        def on_failure(self, exc_info: Any, *_: Any, **__: Any) -> None:
            """Announce."""
            del exc_info
            self.send_event(event)

    bench.started(bench.request(bench.request_class(Deciding))).on_failure(raised(WorkerLostError()))
    assert bench.life == ["received", "started", end]
    assert bench.book.runtimes == [None]


def test_events_outside_a_loss_are_no_verdicts(bench: Bench) -> None:
    """An event of Celery's means nothing to us but while it handles a loss."""
    request = bench.started()
    request.send_event("task-succeeded")
    assert bench.life == ["received", "started"]


def test_a_loss_whose_handling_raises_is_counted(bench: Bench) -> None:
    """A result backend that is down does not cost the failure."""

    class Raising(Request):
        """Cannot store the failure."""

        def on_failure(self, *_: Any, **__: Any) -> None:
            """Fail."""
            raise OSError("no backend")

    request = bench.started(bench.request(bench.request_class(Raising)))
    with pytest.raises(OSError, match="no backend"):
        request.on_failure(raised(WorkerLostError()))
    assert bench.life == ["received", "started", "ended failure", "raised WorkerLostError"]


@NEWEST
def test_a_child_that_was_lost_after_it_had_stored_its_success(bench: Bench) -> None:
    """Celery 5.7 finds the stored result, and the task is a success."""
    request = bench.started()
    bench.app.backend.store_result(request.id, 42, states.SUCCESS)
    request.on_failure(raised(WorkerLostError()))
    assert bench.life == ["received", "started", "ended success"]


@NEWEST
def test_a_lost_child_whose_task_is_retried() -> None:
    """With retry_on_worker_lost Celery 5.7 publishes a retry."""
    bench = Bench(retry_on_worker_lost=True)
    bench.started().on_failure(raised(WorkerLostError()))
    assert bench.life == ["received", "started", "ended retry"]


def test_out_of_memory(bench: Bench) -> None:
    """Celery stops the worker by raising; the failure is recorded before."""
    request = bench.started()
    with pytest.raises(MemoryError):
        request.on_success((1, raised(MemoryError("64 GB")), None))
    assert bench.life == ["received", "started", "ended failure", "raised MemoryError"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_exit_on_threads(bench: Bench, error: BaseException) -> None:
    """A thread hands on_success an ExceptionInfo and no tuple; Celery trips over it, the books do not."""
    request = bench.started()
    with pytest.raises(TypeError):
        request.on_success(raised(error))
    assert bench.life == ["received", "started", "ended failure", "raised WorkerLostError"]
    assert not is_active(request)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_exit_that_comes_as_a_result(bench: Bench, error: BaseException) -> None:
    """Celery raises what a task exits with; it is a failure before that."""
    request = bench.started()
    with pytest.raises(type(error)):
        request.on_success((1, raised(error), None))
    assert bench.life == ["received", "started", "ended failure", "raised WorkerLostError"]


# -- cancelled, and refused --------------------------------------------------------------------------------------------


def test_cancelled_with_early_acks(bench: Bench) -> None:
    """An acknowledged run that is cut short is retried, for Celery emits a retry."""
    request = bench.started()
    request.cancel(bench.pool)
    request.on_failure(raised(Terminated(15)))
    assert bench.life == ["received", "started", "ended retry"]


def test_cancelled_with_late_acks(late: Bench) -> None:
    """A run whose message was never acknowledged goes back to the broker."""
    request = late.started()
    request.cancel(late.pool)
    request.on_failure(raised(Terminated(15)))
    assert late.life == ["received", "started", "ended returned"]
    assert late.acks == []


def test_cancelled_after_a_late_ack(late: Bench) -> None:
    """What is acknowledged is not delivered again, however late its task acknowledges."""
    request = late.started()
    request.acknowledge()
    request.cancel(late.pool)
    assert late.life == ["received", "started", "ended retry"]


@pytest.mark.parametrize(("acks_late", "end"), [(False, "ended retry"), (True, "ended returned")])
def test_cancelled_on_a_green_pool(acks_late: bool, end: str) -> None:  # noqa: FBT001
    """A greenlet comes back as if it had returned None, before the cancellation is told."""
    bench = Bench(acks_late=acks_late)
    request = bench.started()
    bench.pool.on_kill = lambda: request.on_success((False, None, None))
    request.cancel(bench.pool)
    assert bench.life == ["received", "started", end]


def test_an_eta_that_overflows(bench: Bench) -> None:
    """Celery only rejects it: received, rejected, never started."""
    bench.request(eta=in_an_hour()).reject(requeue=False)
    assert bench.life == ["received", "ended rejected"]
    assert bench.acks == ["reject"]


@pytest.mark.parametrize("eta", ["nonsense", 5, "2026-99-99T00:00:00"])
def test_an_invalid_eta(bench: Bench, eta: Any) -> None:
    """A malformed message is no request, and nothing is reported."""
    with pytest.raises(InvalidTaskError):
        bench.request(eta=eta)
    assert bench.life == []


def test_an_eta_is_held_until_the_start(bench: Bench) -> None:
    """A request with an ETA is held, let go at its start, and its wait counts from the ETA."""
    request = bench.request(eta=in_an_hour())
    assert bench.watch.held == [request]
    request._otel_runnable_at -= 3600 + 2
    bench.started(request)
    assert bench.watch.held == []
    assert bench.book.waits == [pytest.approx(2, abs=0.5)]


def test_an_eta_that_has_passed_does_not_shorten_the_wait(bench: Bench) -> None:
    """A request whose ETA is over could have run when it came."""
    eta = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    bench.started(bench.request(eta=eta))
    assert bench.book.waits == [pytest.approx(0, abs=0.5)]


@pytest.mark.parametrize("end", [returned, lambda request: request.reject()], ids=["returned", "rejected"])
def test_an_eta_is_let_go_when_it_ends_unstarted(bench: Bench, end: Any) -> None:
    """Whatever ends a request that is held ends its being held."""
    request = bench.request(eta=in_an_hour())
    end(request)
    assert bench.watch.held == []


def test_an_eta_is_let_go_even_where_the_books_are_broken() -> None:
    """A recorder that fails does not leave a request scheduled for ever."""
    bench = Bench(book=BrokenBook)
    request = bench.request(eta=in_an_hour())
    assert bench.watch.held == [request]
    returned(request)
    assert bench.watch.held == []


# -- our own mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "play",
    [
        lambda request: request.on_success((0, 42, 0.25)),
        lambda request: request.on_success((1, raised(ValueError()), None)),
        lambda request: request.on_success((1, raised(Reject("no", requeue=False)), None)),
        lambda request: request.on_success((1, raised(Ignore()), None)),
        lambda request: request.on_success((1, raised(Retry("again", ValueError())), None)),
        lambda request: request.on_failure(raised(WorkerLostError())),
        lambda request: request.on_timeout(soft=False, timeout=1),
        lambda request: request.terminate(Bench().pool, "TERM"),
        lambda request: request.reject(),
    ],
    ids=["success", "failure", "reject", "ignore", "retry", "lost", "limit", "terminate", "given back"],
)
def test_books_that_cannot_be_written_never_break_a_callback(play: Any) -> None:
    """Celery does with the message what it does without us; each mistake is told."""
    plain, broken = Bench(acks_late=True), Bench(book=BrokenBook, acks_late=True)
    play(plain.started())
    play(broken.started())
    assert broken.acks == plain.acks
    assert set(broken.life) == {"received", "swallowed request"}
    assert {str(error) for error in broken.watch.recorder.errors} == {"the books are lost"}


def test_a_result_that_makes_no_sense_is_celerys_to_refuse(bench: Bench) -> None:
    """What we cannot read is told, and Celery says of it what it says without us."""
    request = bench.started()
    with pytest.raises(AttributeError):
        request.on_success((1, 42, None))
    assert bench.life == ["received", "started", "swallowed request"]


def test_a_watch_that_fails_leaves_the_request_unobserved(bench: Bench) -> None:
    """Books that cannot even be found are one mistake, and the task runs."""

    def fail(*_: Any) -> None:
        raise LookupError

    bench.watch.books_of = fail  # type: ignore[method-assign, assignment]
    bench.started().on_success((0, 42, 0.25))
    assert bench.life == ["swallowed request"]
    assert bench.acks == ["ack"]


# -- classes -----------------------------------------------------------------------------------------------------------


def test_the_final_class_of_celerys_is_wrapped_once(bench: Bench) -> None:
    """A class below the final one inherits its reports, or reports through it, and never twice."""
    final = bench.request_class()

    class Inheriting(final):  # type: ignore[misc, valid-type]
        """Adds nothing."""

    class Overriding(final):  # type: ignore[misc, valid-type]
        """Adds something of its own."""

        def on_success(self, result: Any, **kwargs: Any) -> Any:
            """Pass on."""
            return super().on_success(result, **kwargs)

    for kind in (Inheriting, Overriding):
        bench.life.clear()
        bench.started(bench.request(kind)).on_success((0, 42, 0.25))
        assert bench.life == ["received", "started", "ended success"]
    assert Inheriting.on_success is final.on_success  # type: ignore[attr-defined]


def test_a_users_own_request_stays_and_is_called(bench: Bench) -> None:
    """Whatever a class of the user's overrides is called as before, with the same arguments."""
    heard: list[Any] = []

    class Users(Request):
        """Listens."""

        def on_accepted(self, pid: int, time_accepted: float) -> None:
            """Hear."""
            heard.append(("accepted", pid))
            super().on_accepted(pid, time_accepted)

        def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001
            """Hear."""
            heard.append(("timeout", soft, timeout))
            super().on_timeout(soft, timeout)

        def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:  # noqa: FBT001, FBT002
            """Hear."""
            heard.append(("failure", type(exc_info.exception).__name__, return_ok))
            super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

        def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
            """Hear."""
            heard.append(("reject", requeue))
            super().reject(requeue)

    kind = bench.request_class(Users)
    assert Users in kind.__mro__
    request = bench.started(bench.request(kind), pid=7)
    request.on_timeout(soft=True, timeout=1)
    request.on_failure(raised(ValueError()), return_ok=True)
    request.reject(True)
    assert [each[0] for each in heard] == ["accepted", "timeout", "failure", "reject"]
    assert heard[0] == ("accepted", 7)
    assert heard[1] == ("timeout", True, 1)
    assert heard[2][2] is True
    assert heard[3] == ("reject", True)
    assert bench.life[:3] == ["received", "started", "timed out soft"]


def test_an_observed_class_is_not_observed_twice(bench: Bench) -> None:
    """Composing over what is composed already gives it back."""
    once = observed(Request, bench.watch)
    assert observed(once, bench.watch) is once
    assert once.__name__ == "ObservedRequest"
    assert issubclass(once, Observed)


def test_celerys_class_itself_is_not_touched(bench: Bench) -> None:
    """Observation is a class in front; requests of other apps stay as they are."""
    before = dict(vars(Request))
    bench.request_class()
    assert dict(vars(Request)) == before


def test_a_request_that_is_handed_to_a_pool_reports_through_it(bench: Bench) -> None:
    """What the pool is given to call back are the observed methods."""
    request = bench.request()
    request.execute_using_pool(bench.pool)
    (job,) = bench.pool.jobs
    job["accept_callback"](4321, time.monotonic())
    job["callback"]((0, 42, 0.25))
    assert bench.life == ["received", "started", "ended success"]
    assert not is_active(request)


# -- traces ------------------------------------------------------------------------------------------------------------


def test_books_that_want_traces_are_given_the_messages_headers(bench: Bench) -> None:
    """Plain data, once for each request, after it was counted as received; the same request class goes on as before."""
    bench.watch.recorder.wants_traces = True
    request = bench.request(more={"traceparent": "00-trace"})
    assert bench.life == ["received", "in trace 00-trace"]
    request.on_accepted(1, time.monotonic())
    assert bench.life[2:] == ["started"]


def test_books_that_do_not_are_left_alone(bench: Bench) -> None:
    """The class in front of Request is the one that costs nothing more."""
    assert not issubclass(bench.request_class(), ObservedInTrace)
