"""Spans go to processors of the process that they end in."""

from __future__ import annotations

import os

import pytest

from otel_celery.trace.spans import ProcessSpans
from tests.integration.worker.harness import wait_until


def test_a_span_to_be_discarded_is_not_kept(kept) -> None:
    """It is thrown away once; the id is free again."""
    span = kept.tracer.start_span("false")
    kept.spans.discard(span.get_span_context().span_id)
    span.end()
    kept.tracer.start_span("true").end()
    assert [span.name for span in kept.ended] == ["true"]
    assert kept.spans.force_flush()


@pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning")  # eventlet's, where another test has imported it
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # Python's, from 3.12 on
def test_a_forked_process_makes_its_own(kept) -> None:
    """What this process has made is not used by a child, which makes its own when its first span ends."""
    made: list[int] = []

    def make() -> tuple:
        made.append(os.getpid())
        return ()

    spans = ProcessSpans(make)
    span = kept.tracer.start_span("x")
    spans.on_end(span)
    spans.on_end(span)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        spans.on_end(span)
        os.write(writer, b"1" if made == [os.getppid(), os.getpid()] else b"0")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 1) == b"1"
    assert made == [os.getpid()]
    os.close(reader)
    os.close(writer)


def test_processors_that_cannot_be_made_cost_the_spans_alone(kept, caplog) -> None:
    """Said once, and never raised into the task."""

    def fail() -> list:
        raise ValueError("max_queue_size must be a positive integer.")

    spans = ProcessSpans(fail)
    for _ in range(2):
        spans.on_end(kept.tracer.start_span("x"))
    wait_until(lambda: len(caplog.records) == 1, "it is said")
    assert "max_queue_size must be" in caplog.text
