"""What the process that runs a task does: it takes the id it was given, and tells no false end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from opentelemetry import trace

from otel_celery.trace import runs as module
from otel_celery.trace.ids import HEADER
from otel_celery.trace.insistence import Insistence
from otel_celery.trace.runs import Runs


def play(kept, run, state, error=None) -> None:
    """Begin and end a run as the signals do, with contrib's span between, while an exception may be in flight."""
    task = SimpleNamespace(request=SimpleNamespace(**({HEADER: run.header} if run else {})))
    runs = Runs(kept.ids, kept.spans, Insistence())
    runs._on_prerun(task=task)
    with kept.tracer.start_as_current_span("run/x", kind=trace.SpanKind.CONSUMER, record_exception=False):
        try:
            if error is not None:
                raise error  # noqa: TRY301  so that it is in flight
        except BaseException:  # noqa: BLE001  as trace_task's finally
            runs._on_postrun(task=task, state=state)
        else:
            runs._on_postrun(task=task, state=state)


def test_a_run_takes_the_id_that_the_main_process_knows(kept) -> None:
    """And ends as it ended."""
    run = kept.ids.run()
    play(kept, run, "SUCCESS")
    assert [span.context.span_id for span in kept.ended] == [run.span_id]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_a_false_end_is_kept_back(kept, error) -> None:
    """The main process tells of it."""
    play(kept, kept.ids.run(), None, error)
    assert kept.ended == []


def test_a_failure_before_the_body_is_no_false_end(kept) -> None:
    """Celery reports it as a failure, and the main process tells nothing."""
    play(kept, kept.ids.run(), None, ValueError("no backend"))
    assert len(kept.ended) == 1


@pytest.mark.parametrize(("state", "number"), [("FAILURE", 0), ("SUCCESS", 1)])
def test_a_cleanup_that_raises_while_the_process_is_terminated(kept, monkeypatch, state, number) -> None:
    """It looks like a failure, and is none; a success is one."""
    monkeypatch.setattr(module, "_is_terminating", lambda: True)
    play(kept, kept.ids.run(), state)
    assert len(kept.ended) == number


def test_without_another_process_the_span_itself_is_marked(kept) -> None:
    """On greenlets and threads: an error, with the exception."""
    play(kept, None, None, SystemExit(3))
    (span,) = kept.ended
    assert span.status.status_code is trace.StatusCode.ERROR
    assert [event.attributes["exception.type"] for event in span.events] == ["SystemExit"]


def test_a_run_whose_error_cannot_be_read_is_marked_all_the_same(kept) -> None:
    """What a task on a thread exits with may raise when it is read: the span is an error without it."""

    class UnreadableError(SystemExit):
        """Raises."""

        def __str__(self) -> str:
            raise KeyError("touched")

        __repr__ = __str__

    play(kept, None, None, UnreadableError())
    assert kept.ended[-1].status.status_code is trace.StatusCode.ERROR
