"""The books: what each report counts, how many there may be, and what is said."""

from __future__ import annotations

import logging
import sys
import time
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_celery.lifecycle import Exit, Limit, Outcome, Revocation, Unknown, Where
from otel_celery.record.histograms import TallyHistograms
from otel_celery.record.tallies import PAIRS_PER_TASK_NAME, Tallies
from otel_celery.settings.settings import Bounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_celery.catalogue import Metric

THREADS = 8
EACH = 10_000


class Observations:
    """A histogram recorder that remembers each observation, by the metric's name."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.seen: list[tuple[str, float]] = []

    def series(self, metric: Metric, attributes: Mapping[str, str]) -> Series:
        """Open a series."""
        del attributes
        return Series(self.seen, metric.name)


class Series:
    """One series of a recorder that remembers."""

    def __init__(self, seen: list[tuple[str, float]], name: str) -> None:
        """Remember under a name."""
        self.seen, self.name, self.number = seen, name, 0

    def record(self, value: float) -> None:
        """Remember."""
        self.seen.append((self.name, value))
        self.number += 1

    note = record

    def count(self) -> int:
        """Count what was observed of this series."""
        return self.number


@pytest.fixture
def seen() -> Observations:
    """Remember the histograms' observations."""
    return Observations()


@pytest.fixture
def tallies(seen: Observations) -> Tallies:
    """Open the books of a worker with the default bounds."""
    return Tallies("w@h", Bounds(), seen)


def test_a_new_book_is_all_zeros(tallies: Tallies, seen: Observations) -> None:
    """A book starts with every outcome, reason and limit at zero, no exception, and nothing observed."""
    book = tallies.task("proj.add", "trading")
    assert book.attributes == {"worker": "w@h", "task_name": "proj.add", "queue": "trading"}
    assert (book.received_count, book.redelivered_count, book.started_count) == (0, 0, 0)
    assert book.ends == dict.fromkeys(Outcome, 0)
    assert book.revocations == dict.fromkeys(Revocation, 0)
    assert book.timeouts == dict.fromkeys(Limit, 0)
    assert (book.exceptions, book.last_success, seen.seen) == ({}, None, [])


def test_a_book_is_found_again(tallies: Tallies) -> None:
    """The same task on the same queue has one book; on another queue another."""
    book = tallies.task("proj.add", "trading")
    assert tallies.task("proj.add", "trading") is book
    assert tallies.task("proj.add", "orders") is not book
    assert [each.attributes["queue"] for each in tallies.tasks()] == ["trading", "orders"]


def test_received_and_redelivered(tallies: Tallies) -> None:
    """A redelivered request is received as well."""
    book = tallies.task("a", "q")
    book.received(redelivered=False)
    book.received(redelivered=True)
    assert (book.received_count, book.redelivered_count) == (2, 1)


def test_started_observes_the_wait(tallies: Tallies, seen: Observations) -> None:
    """A start is counted with the seconds that the request waited."""
    book = tallies.task("a", "q")
    book.started(0.5)
    assert book.started_count == 1
    assert seen.seen == [("celery.task.prefetch.wait", 0.5)]


def test_a_success_observes_duration_and_runtime(tallies: Tallies, seen: Observations) -> None:
    """A success has both times, and its moment is kept."""
    book, before = tallies.task("a", "q"), time.time()
    book.ended(Outcome.SUCCESS, 2.0, 1.5)
    assert book.ends[Outcome.SUCCESS] == 1
    assert sorted(seen.seen) == [("celery.task.duration", 2.0), ("celery.task.runtime", 1.5)]
    assert book.last_success is not None
    assert before <= book.last_success <= time.time()


@pytest.mark.parametrize("outcome", [each for each in Outcome if each not in {Outcome.SUCCESS, Outcome.RETURNED}])
def test_every_other_end_observes_its_duration_alone(tallies: Tallies, seen: Observations, outcome: Outcome) -> None:
    """Runtime is for successes alone, whatever is said."""
    book = tallies.task("a", "q")
    book.ended(outcome, 2.0, 1.5)
    assert {each for each, number in book.ends.items() if number} == {outcome}
    assert seen.seen == [("celery.task.duration", 2.0)]
    assert book.last_success is None


def test_a_returned_request_has_no_duration(tallies: Tallies, seen: Observations) -> None:
    """What is given back has not ended."""
    book = tallies.task("a", "q")
    book.ended(Outcome.RETURNED, 2.0, None)
    assert book.ends[Outcome.RETURNED] == 1
    assert seen.seen == []


def test_an_end_without_times_observes_nothing(tallies: Tallies, seen: Observations) -> None:
    """A task that never started has no duration, a success that was found out later no runtime."""
    book = tallies.task("a", "q")
    book.ended(Outcome.REVOKED, None, None)
    book.ended(Outcome.SUCCESS, None, None)
    assert seen.seen == []
    assert book.last_success is not None


def test_zero_seconds_are_an_observation(tallies: Tallies, seen: Observations) -> None:
    """Nothing took no time is not the same as nothing took place."""
    tallies.task("a", "q").ended(Outcome.SUCCESS, 0.0, 0.0)
    assert sorted(seen.seen) == [("celery.task.duration", 0.0), ("celery.task.runtime", 0.0)]


def test_exceptions_revocations_and_limits_are_counted(tallies: Tallies) -> None:
    """Each is counted under its own value."""
    book = tallies.task("a", "q")
    for name in ("KeyError", "KeyError", "ValueError"):
        book.raised(name)
    book.revoked(Revocation.EXPIRED)
    book.timed_out(Limit.HARD)
    assert book.exceptions == {"KeyError": 2, "ValueError": 1}
    assert book.revocations == {Revocation.REVOKED: 0, Revocation.EXPIRED: 1, Revocation.TERMINATED: 0}
    assert book.timeouts == {Limit.SOFT: 0, Limit.HARD: 1}


def test_the_worker_has_books_of_its_own(tallies: Tallies) -> None:
    """Unknown messages, children and reconnects are counted by their reasons."""
    tallies.message_unknown(Unknown.UNDECODABLE)
    tallies.process_exited(Exit.KILLED)
    tallies.process_exited(Exit.KILLED)
    tallies.reconnected()
    assert tallies.unknown == {Unknown.UNKNOWN_TASK: 0, Unknown.UNDECODABLE: 1, Unknown.INVALID: 0}
    assert tallies.exits == {Exit.RECYCLED: 0, Exit.KILLED: 2, Exit.EXITED: 0, Exit.TIMED_OUT: 0}
    assert tallies.reconnects == 1


def test_an_error_is_logged_once_a_place_and_kind_and_counted_always(
    tallies: Tallies, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line with its traceback for each place and class; the count goes on."""
    for where in (Where.REQUEST, Where.CONSUMER):
        for error in (KeyError("a"), KeyError("b"), ValueError("c")):
            tallies.swallowed(where, error)
    counted = {where: number for where, number in tallies.errors.counts.items() if number}
    assert counted == {Where.REQUEST: 3, Where.CONSUMER: 3}
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 4
    said = [(record.getMessage().split("(")[1].split(")")[0], record.exc_info) for record in caplog.records]
    assert [(where, info[0]) for where, info in said if info] == [
        ("request", KeyError),
        ("request", ValueError),
        ("consumer", KeyError),
        ("consumer", ValueError),
    ]


def test_the_traceback_is_in_the_log(tallies: Tallies, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads the line sees where it came from."""
    try:
        "".encode("no such thing")
    except LookupError as error:
        tallies.swallowed(Where.LEVELS, error)
    assert '"".encode("no such thing")' in caplog.text


def test_folding_is_counted_and_said_once(caplog: pytest.LogCaptureFixture, seen: Observations) -> None:
    """Each kind of value has one line in the log, however many are folded."""
    tallies = Tallies("w@h", Bounds(task_names=1, exceptions=1), seen)
    for number in range(3):
        tallies.task(f"t{number}", "q").raised(f"E{number}")
    assert tallies.folded.counts == {"task_name": 2, "exception": 2, "queue": 0}
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "too many different values of exception: further ones are counted as 'other'" in caplog.text
    assert "too many different values of task_name: further ones are counted as 'other'" in caplog.text


def test_twenty_thousand_tasks_are_so_many_books(seen: Observations) -> None:
    """The first names have books, all others share one, and nothing is lost."""
    tallies = Tallies("w@h", Bounds(task_names=5), seen)
    for number in range(20_000):
        tallies.task(f"t{number}", "q").received(redelivered=False)
    counted = {book.attributes["task_name"]: book.received_count for book in tallies.tasks()}
    assert counted == {"t0": 1, "t1": 1, "t2": 1, "t3": 1, "t4": 1, "other": 19_995}
    assert tallies.folded.counts["task_name"] == 19_995


def test_so_many_pairs_of_task_and_queue(seen: Observations) -> None:
    """A task that goes through ever new queues ends in its own book on other: its name has a place."""
    tallies = Tallies("w@h", Bounds(task_names=2), seen)
    books = [tallies.task("a", f"q{number}") for number in range(20)]
    assert len({id(book) for book in books}) == PAIRS_PER_TASK_NAME * 2 + 1
    assert books[-1].attributes == {"worker": "w@h", "task_name": "a", "queue": "other"}
    assert tallies.folded.counts == {"task_name": 0, "exception": 0, "queue": 12}
    assert tallies.task("b", "q0").attributes == {"worker": "w@h", "task_name": "b", "queue": "other"}
    assert tallies.task("c", "q0").attributes == {"worker": "w@h", "task_name": "other", "queue": "other"}
    assert tallies.task("a", "q0") is books[0], "a book that stands is kept"


def pairs_of(tallies: Tallies) -> list[tuple[str, str]]:
    """List the labels of all books, in their order."""
    return [(book.attributes["task_name"], book.attributes["queue"]) for book in tallies.tasks()]


def test_what_runs_has_a_place_before_what_is_expected(seen: Observations, caplog: pytest.LogCaptureFixture) -> None:
    """Zeros fill the places that are left in the order they are expected, and the last of them gives way first."""
    tallies = Tallies("w@h", Bounds(task_names=3), seen)
    tallies.expect((name, "q") for name in "abcdz")
    assert pairs_of(tallies) == [("a", "q"), ("b", "q"), ("c", "q")]
    assert tallies.folded.counts["task_name"] == 0
    (line,) = [record.getMessage() for record in caplog.records]
    assert "2 of the 5 tasks that worker w@h may be sent do not stand at zero" in line
    book = tallies.task("z", "q")
    assert pairs_of(tallies) == [("z", "q"), ("a", "q"), ("b", "q")]
    assert tallies.task("z", "q") is book
    tallies.task("b", "q")
    tallies.task("y", "q")
    assert pairs_of(tallies) == [("z", "q"), ("b", "q"), ("y", "q")]
    assert tallies.task("a", "q").attributes["task_name"] == "other", "all places are of tasks that run"


def test_a_second_queue_of_a_name_that_runs_needs_no_other_name(seen: Observations) -> None:
    """A place is a name's: its expected pairs stand at zero whatever other names there are."""
    tallies = Tallies("w@h", Bounds(task_names=1), seen)
    tallies.task("b", "q")
    tallies.expect([("a", "q"), ("b", "p"), ("b", "q")])
    assert pairs_of(tallies) == [("b", "q"), ("b", "p")]


def test_queues_and_pairs_of_what_is_expected_take_no_place(seen: Observations) -> None:
    """Six hundred queues with a task each: the one that a message comes from has its name."""
    tallies = Tallies("w@h", Bounds(), seen)
    tallies.expect(("a", f"q{number}") for number in range(600))
    assert len(tallies.tasks()) == 500
    assert tallies.task("a", "q599").attributes["queue"] == "q599"
    assert len(tallies.tasks()) == 500
    few = Tallies("w@h", Bounds(task_names=1), seen)
    few.expect(("a", f"q{number}") for number in range(20))
    assert len(few.tasks()) == PAIRS_PER_TASK_NAME
    for number in range(10, 10 + PAIRS_PER_TASK_NAME):
        assert few.task("a", f"q{number}").attributes["queue"] == f"q{number}"
    assert len(few.tasks()) == PAIRS_PER_TASK_NAME


def test_what_is_expected_is_labelled_as_what_runs(seen: Observations) -> None:
    """A long name, or one left out, stands at zero under the label that its runs will have."""
    tallies = Tallies("w@h", Bounds(label_length=3, deny=("secret",)), seen)
    tallies.expect([("abcd", "q"), ("abce", "q"), ("secret", "q")])
    assert pairs_of(tallies) == [("abc", "q"), ("other", "q")]
    tallies.task("abcf", "q")
    tallies.task("secret", "q")
    assert pairs_of(tallies) == [("abc", "q"), ("other", "q")]


def test_a_task_left_out_counts_under_other(seen: Observations) -> None:
    """The conservation law counts what the operator left out, without series of its own."""
    tallies = Tallies("w@h", Bounds(deny=("secret.*",)), seen)
    for name in ("secret.a", "secret.b"):
        tallies.task(name, "q").received(redelivered=False)
    assert [(book.attributes["task_name"], book.received_count) for book in tallies.tasks()] == [("other", 2)]
    assert tallies.folded.counts["task_name"] == 0


def test_the_workers_name_is_cleaned(seen: Observations) -> None:
    """A node name is a label value like any other."""
    assert Tallies("w@\ud800" + "h" * 20, Bounds(label_length=8), seen).worker == "w@?hhhhh"


@pytest.fixture
def _restless() -> Iterator[None]:
    """Have the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_restless")
def test_threads_lose_nothing() -> None:
    """Eight threads report ten thousand lives each, and the totals are exact."""
    histograms = TallyHistograms((0.1, 1.0), InstrumentationScope("otel_celery"), 0)
    tallies = Tallies("w@h", Bounds(), histograms)
    gate = Barrier(THREADS)

    def report() -> None:
        book = tallies.task("a", "q")
        gate.wait()
        for _ in range(EACH):
            book.started(0.5)
            book.ended(Outcome.FAILURE, 0.5, None)
            book.raised("KeyError")
            tallies.message_unknown(Unknown.INVALID)

    threads = [Thread(target=report) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for _ in range(THREADS * EACH):  # the consumer's thread alone tells of these
        tallies.task("a", "q").received(redelivered=True)
    for thread in threads:
        thread.join()
    total, (book,) = THREADS * EACH, tallies.tasks()
    assert (book.received_count, book.redelivered_count, book.started_count) == (total, total, total)
    assert (book.ends[Outcome.FAILURE], book.exceptions, tallies.unknown[Unknown.INVALID]) == (
        total,
        {"KeyError": total},
        total,
    )
    (scoped,) = histograms.produce(1)
    points: dict[str, Any] = {metric.name: next(iter(metric.data.data_points)) for metric in scoped.metrics}
    assert {name: (point.bucket_counts, point.sum) for name, point in points.items()} == {
        "celery.task.duration": ([0, total, 0], total / 2),
        "celery.task.prefetch.wait": ([0, total, 0], total / 2),
    }


def test_a_signal_handler_may_report_while_a_report_is_made(tallies: Tallies) -> None:
    """The locks are reentrant: a cold shutdown cancels requests on whatever line the main thread is."""
    book = tallies.task("a", "q")
    with tallies._lock, book.lock:
        tallies.task("b", "q").received(redelivered=False)
        book.ended(Outcome.RETRY, None, None)
        tallies.swallowed(Where.REQUEST, ValueError())
    assert book.ends[Outcome.RETRY] == 1


def test_a_publisher_whose_clock_is_ahead_is_a_wait_of_zero_and_counted(tallies: Tallies, seen: Observations) -> None:
    """A negative wait would be no histogram's; and a message without a time is no observation."""
    task = tallies.task("shop.order", "celery")
    for queued in (2.0, -5.0, None):
        task.started(0.5, queued)
    assert [value for name, value in seen.seen if name == "celery.task.queue.wait"] == [2.0, 0.0]
    assert (task.started_count, task.skew_count) == (3, 1)
