"""The ids of a run: made here, written into a header, and taken by the next span there."""

from __future__ import annotations

import pytest

from otel_celery.masking import RefusedError
from otel_celery.trace.ids import Run, generator, run_of


def test_a_run_is_read_as_it_was_written() -> None:
    """Leading zeros are kept."""
    run = Run(5, 7)
    assert run.header == "00000000000000000000000000000005-0000000000000007"
    assert run_of(run.header) == run
    assert run_of(None) is None


def test_the_next_root_span_has_the_ids_expected_and_no_other_has(kept) -> None:
    """Once, in this thread."""
    run = kept.ids.run()
    kept.ids.expect(run)
    first, second = (kept.tracer.start_span("x").get_span_context() for _ in range(2))
    assert (first.trace_id, first.span_id) == run
    assert second.trace_id != run.trace_id
    assert second.span_id != run.span_id


def test_a_child_span_keeps_its_parents_trace(kept) -> None:
    """The trace id counts for a root alone."""
    run = kept.ids.run()
    with kept.tracer.start_as_current_span("parent") as parent:
        kept.ids.expect(run)
        context = kept.tracer.start_span("child").get_span_context()
    assert context.span_id == run.span_id
    assert context.trace_id == parent.get_span_context().trace_id


def test_generators_are_found_by_name() -> None:
    """The SDK's own is there; another that is not installed is said."""
    assert generator("random").is_trace_id_random()
    with pytest.raises(RefusedError, match="OTEL_PYTHON_ID_GENERATOR names 'xray'"):
        generator("xray")
