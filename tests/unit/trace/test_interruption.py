"""A soft time limit that arrives in our code while a span ends, or a run begins."""

from __future__ import annotations

import enum
import os
import signal
import sys
import time
from enum import Flag
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery.utils.dispatch import Signal
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_celery.interruption import PAUSE, interrupting_signal, interruption, send_again
from otel_celery.trace.insistence import Insistence
from otel_celery.trace.runs import Runs
from otel_celery.trace.spans import ProcessSpans
from tests.integration.worker.harness import wait_until
from tests.unit.interrupt import Interrupter, soft_time_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import SpanProcessor

LINES = 60

UNDECIDED = (
    "if span.context is not None and span.context.span_id in self._discarded:",
    "self._ended.append(span)",
    "for processor in processors:",
    "processor.on_end(span)",
)
"""Where a span is with nobody, or has just been given to a processor: it is lost there, as it is within the SDK."""


def test_it_reaches_the_task_and_the_span_is_sent_with_the_next(kept) -> None:
    """At every line of the first span's end: what makes processors is called once more, and no span is sent twice."""
    interrupter, reached = Interrupter(("trace/spans.py", __file__)), 0
    for number in range(LINES):
        kept.exporter.clear()
        spans = ProcessSpans(lambda: [SimpleSpanProcessor(kept.exporter)])
        first, second = kept.tracer.start_span("first"), kept.tracer.start_span("second")
        has_reached = False
        with interrupter.at(number):
            try:
                spans.on_end(first)
            except SoftTimeLimitExceeded:
                has_reached = True
        reached += has_reached
        assert has_reached == interrupter.has_raised, interrupter.line
        spans.on_end(second)
        names = [span.name for span in kept.ended]
        lost = has_reached and interrupter.line in UNDECIDED and names == ["second"]
        assert names == ["first", "second"] or lost, (interrupter.line, names)
    assert 10 < reached < LINES


@pytest.fixture
def limit() -> Iterator[None]:
    """Have SIGUSR1 raise a soft time limit, as in a pool's child."""
    before = signal.signal(signal.SIGUSR1, soft_time_limit)
    yield
    signal.signal(signal.SIGUSR1, before)


def dispatch(kept, handler, insistence: Insistence) -> SimpleNamespace:
    """Send Celery's own signals around a body that waits for its limit; tell what reached it."""
    begins, ends = Signal(name="begins"), Signal(name="ends")
    runs = Runs(kept.ids, kept.spans, insistence)
    task = SimpleNamespace(request=SimpleNamespace(headers={}))
    begins.connect(insistence.whole(runs._on_prerun), weak=False)
    begins.connect(insistence.whole(handler), weak=False)
    ends.connect(insistence.whole(runs._on_postrun), weak=False)
    told = SimpleNamespace(reached=False)
    begins.send(sender=None, task=task)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            time.sleep(PAUSE)
    except SoftTimeLimitExceeded:
        told.reached = True
    ends.send(sender=None, task=task, state="SUCCESS")
    return told


@pytest.mark.usefixtures("limit")
def test_a_limit_that_celery_would_swallow_reaches_the_task(kept) -> None:
    """The handler that it interrupted is run whole, and the task's body gets the limit."""
    calls = []

    def handler(**_: object) -> None:
        calls.append("begun")
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        calls.append("done")

    assert dispatch(kept, handler, Insistence()).reached
    assert calls == ["begun", "begun", "done"]


@pytest.mark.usefixtures("limit")
def test_at_every_line_of_ours_it_reaches_the_task_and_each_handler_runs(kept, caplog) -> None:
    """Also as a function begins, and before the first handler has noted that a task does."""
    interrupter, number, missed = Interrupter(("trace/insistence.py", "trace/runs.py"), calls=True), 0, []
    insistence, ran = Insistence(), []
    runs = Runs(kept.ids, kept.spans, insistence)
    task = SimpleNamespace(request=SimpleNamespace(headers={}))
    begins, ends = Signal(name="begins"), Signal(name="ends")
    begins.connect(insistence.whole(runs._on_prerun), weak=False)
    begins.connect(insistence.whole(lambda **_: ran.append(True)), weak=False)
    ends.connect(insistence.whole(runs._on_postrun), weak=False)
    has_raised = True
    while has_raised:
        ran.clear()
        has_reached = False
        try:
            with interrupter.at(number):
                begins.send(sender=None, task=task)
            until = time.monotonic() + 1
            while interrupter.has_raised and time.monotonic() < until:
                time.sleep(PAUSE)
        except SoftTimeLimitExceeded:
            has_reached = True
        ends.send(sender=None, task=task, state="SUCCESS")
        has_raised = interrupter.has_raised
        if has_reached != has_raised or not ran:
            missed.append((interrupter.line, has_reached, bool(ran)))
        number += 1
    assert number > 10
    assert missed == []
    assert caplog.text == ""


def test_a_second_signal_close_behind_the_first_reaches_the_task_too(monkeypatch) -> None:
    """An application's own alarm, while the handler begins again after the time limit."""
    monkeypatch.setattr("otel_celery.interruption.PAUSE", 0.5)  # a busy machine may stand still for a while
    calls: list[str] = []
    reached: list[int] = []
    comes = {1: signal.SIGUSR1, 2: signal.SIGALRM}

    def limit(number: int, _frame: object) -> None:
        if len(calls) <= len(comes):
            raise SoftTimeLimitExceeded
        reached.append(number)

    def alarm(number: int, _frame: object) -> None:
        if len(calls) <= len(comes):
            raise TimeoutError
        reached.append(number)

    def handler(**_: object) -> None:
        calls.append("begun")
        if number := comes.get(len(calls)):
            signal.raise_signal(number)

    before = signal.signal(signal.SIGUSR1, limit), signal.signal(signal.SIGALRM, alarm)
    insistence = Insistence()
    insistence.begin()
    try:
        insistence.whole(handler)()
        calls.append("the task's own work")
        wait_until(lambda: len(reached) == len(comes), "both signals are sent again")
    finally:
        insistence.end()
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGALRM, before[1])
    assert len(calls) == 4
    assert set(reached) == set(comes.values())


@pytest.mark.usefixtures("limit")
def test_a_limit_that_comes_after_the_body_is_no_next_task_s(kept) -> None:
    """It came too late for its own task, and is sent to no other."""
    insistence = Insistence()
    runs = Runs(kept.ids, kept.spans, insistence)
    task = SimpleNamespace(request=SimpleNamespace(headers={}))
    calls = []

    def late(**_: object) -> None:
        calls.append("begun")
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    runs._on_prerun(task=task)
    send_again(signal.SIGUSR1, partial(insistence._is_running, object()))  # a limit of a task that is over
    time.sleep(3 * PAUSE)
    runs._on_postrun(task=task, state="SUCCESS")
    insistence.whole(late)()
    time.sleep(3 * PAUSE)
    assert calls == ["begun", "begun"]


def test_of_two_handlers_the_one_that_raised_inside_the_other_is_told() -> None:
    """An application's alarm may be at work when the time limit comes, and the other way round."""

    def outer(_number: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGUSR1)

    for alarm in (signal.SIGHUP, signal.SIGALRM):  # of a lower and of a higher number than the limit's
        before = signal.signal(alarm, outer), signal.signal(signal.SIGUSR1, soft_time_limit)
        try:
            with pytest.raises(SoftTimeLimitExceeded) as caught:
                signal.raise_signal(alarm)
            assert interrupting_signal(caught.value) == signal.SIGUSR1
        finally:
            signal.signal(alarm, before[0])
            signal.signal(signal.SIGUSR1, before[1])


STRICT: dict[str, Any] = {"boundary": getattr(enum, "STRICT")} if sys.version_info >= (3, 11) else {}  # noqa: B009
"""Some releases of Python 3.11 let a Flag drop the bits that it does not know, unless told not to."""


@pytest.mark.parametrize("kind", [signal.Signals, signal.Handlers, Flag("Flag", "ONE", **STRICT)])
def test_an_unknown_member_of_an_enumeration_is_no_interruption(kind) -> None:
    """``signal.SIG_DFL`` is a member of one: what calls its class is no handler."""
    with pytest.raises(ValueError, match=r"is not a valid|invalid value") as caught:
        kind(1 << 20)
    assert interrupting_signal(caught.value) is None


def test_an_error_of_our_own_is_no_interruption() -> None:
    """It stays with whoever catches it, and Celery's dispatch logs it."""

    def handler(**_: object) -> None:
        raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded) as caught:
        Insistence().whole(handler)()
    assert interruption(caught.value) is None


def replaced() -> list[SpanProcessor]:
    """Do as ``Thread.start`` does when a signal's handler interrupts it after the thread has begun."""
    try:
        signal.raise_signal(signal.SIGUSR1)
    except SoftTimeLimitExceeded:
        raise KeyError from None
    return []


@pytest.mark.usefixtures("limit")
def test_a_limit_that_another_error_has_replaced_reaches_the_task(kept, caplog) -> None:
    """It is no error of ours, and the span that has ended is sent with the next one."""
    made: list[SpanProcessor] = []
    spans = ProcessSpans(lambda: made or replaced())
    with pytest.raises(SoftTimeLimitExceeded):
        spans.on_end(kept.tracer.start_span("first"))
    assert caplog.text == ""
    made.append(SimpleSpanProcessor(kept.exporter))
    spans.on_end(kept.tracer.start_span("second"))
    assert [span.name for span in kept.ended] == ["first", "second"]


@pytest.mark.usefixtures("limit")
def test_a_limit_that_the_task_handles_already_is_not_raised_again(kept, caplog) -> None:
    """An error of ours that comes up meanwhile is ours, and stays with us."""

    def fail() -> list[SpanProcessor]:
        raise KeyError

    spans = ProcessSpans(fail)
    try:
        signal.raise_signal(signal.SIGUSR1)
    except SoftTimeLimitExceeded:
        spans.on_end(kept.tracer.start_span("first"))
    assert "spans cannot be sent from this process" in caplog.text
