"""A run that was lost becomes one span, and what is published meanwhile belongs to it."""

from __future__ import annotations

import time

import pytest
from billiard.exceptions import WorkerLostError
from opentelemetry import trace
from opentelemetry.propagate import inject

from otel_celery.lifecycle import Outcome
from otel_celery.trace.courier import Courier
from otel_celery.trace.ids import HEADER, run_of
from otel_celery.trace.lost import LostRuns


@pytest.fixture
def errors() -> list[Exception]:
    """Hold what the courier stumbled on."""
    return []


@pytest.fixture
def courier(errors) -> Courier:
    """Give a courier."""
    return Courier(errors.append)


@pytest.fixture
def lost(kept, courier) -> LostRuns:
    """Give what follows runs, switched on."""
    made = LostRuns(kept.provider, kept.ids, "otel_celery")
    made.switch_on(courier)
    return made


def headers(kept, *, traced: bool = True) -> dict:
    """Make a message's headers, of a publisher that was traced or not."""
    made = {"task": "proj.add", "id": "42", "retries": 0, "timelimit": [None, None]}
    if traced:
        with kept.tracer.start_as_current_span("publisher"):
            inject(made)
    return made


@pytest.mark.parametrize("traced", [True, False])
def test_a_lost_run_is_one_span_under_the_id_in_its_headers(kept, lost, courier, errors, traced) -> None:
    """An error, with the exception, from its start to now, below the publisher's span if there is one."""
    message = headers(kept, traced=traced)
    lost.received(message)
    run = run_of(message[HEADER])
    assert run is not None
    lost.lost(message, time.time() - 5, WorkerLostError("gone"), Outcome.FAILURE)
    assert courier.settle(30)
    assert errors == []
    span = kept.ended[-1]
    assert (span.name, span.kind, span.context.span_id) == ("run/proj.add", trace.SpanKind.CONSUMER, run.span_id)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert [event.attributes["exception.message"] for event in span.events] == ["gone"]
    assert 5e9 <= span.end_time - span.start_time < 60e9
    assert span.attributes["celery.state"] == "FAILURE"
    if traced:
        assert span.parent.span_id == kept.ended[0].context.span_id
    else:
        assert (span.parent, span.context.trace_id) == (None, run.trace_id)


def test_a_success_that_was_stored_is_no_error(kept, lost, courier) -> None:
    """Celery 5.7 finds it where a child was killed after that."""
    message = headers(kept)
    lost.received(message)
    lost.lost(message, time.time(), WorkerLostError("gone"), Outcome.SUCCESS)
    assert courier.settle(30)
    assert (kept.ended[-1].status.status_code, kept.ended[-1].events) == (trace.StatusCode.UNSET, ())


@pytest.mark.parametrize("traced", [True, False])
def test_what_is_published_meanwhile_belongs_to_the_run(kept, lost, traced) -> None:
    """The run's span is the current one, as its child knows it."""
    message = headers(kept, traced=traced)
    lost.received(message)
    run = run_of(message[HEADER])
    assert run is not None
    with lost.within(message):
        kept.tracer.start_span("apply_async/errback").end()
    assert kept.ended[-1].parent.span_id == run.span_id
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_what_is_switched_off_says_nothing(kept) -> None:
    """Neither to the child nor to anybody."""
    lost = LostRuns(kept.provider, kept.ids, "otel_celery")
    message = headers(kept, traced=False)
    before = dict(message)
    lost.received(message)
    with lost.within(message):
        lost.lost(message, 0.0, WorkerLostError("gone"), Outcome.FAILURE)
    assert message == before
    assert kept.ended == []


class Unreadable:
    """What a task may exit with: whatever is asked of it raises."""

    def __str__(self) -> str:
        """Raise what no ``except Exception`` catches."""
        raise GeneratorExit("touched")

    __repr__ = __str__


def test_an_error_whose_message_cannot_be_read_is_told_without_it(kept, lost, courier, errors) -> None:
    """The span ends as an error, of its class; the courier goes on to the next."""
    for error in (SystemExit(Unreadable()), WorkerLostError("gone")):
        message = headers(kept, traced=False)
        lost.received(message)
        lost.lost(message, time.time(), error, Outcome.FAILURE)
    assert courier.settle(30)
    assert errors == []
    first, second = kept.ended[-2:]
    assert first.status.status_code is trace.StatusCode.ERROR
    assert first.events[0].attributes["exception.type"] == "SystemExit"
    assert second.events[0].attributes["exception.message"] == "gone"
