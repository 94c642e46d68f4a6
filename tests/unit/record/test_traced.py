"""Exemplars: what is observed of a request names the trace that its message carried."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import get_current_span
from opentelemetry.trace.span import INVALID_SPAN

from otel_celery.catalogue import SCOPE
from otel_celery.lifecycle import Limit, Outcome, Revocation
from otel_celery.record.histograms import SdkHistograms
from otel_celery.record.tallies import Tallies
from otel_celery.settings.settings import Bounds

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def carrier(flags: str = "01") -> dict[str, Any]:
    """Make a message's headers, which hold much besides."""
    return {"id": "x", "retries": 0, "traceparent": f"00-{TRACE}-{SPAN}-{flags}", "args": None}


def live(headers: dict[str, Any]) -> tuple[Tallies, list[Any]]:
    """Play one life in a trace, and list the exemplars' traces."""
    memory = InMemoryMetricReader()
    meter = MeterProvider([memory], shutdown_on_exit=False).get_meter(SCOPE)
    tallies = Tallies("w@h", Bounds(), SdkHistograms(meter, (1.0,)), wants_traces=True)
    books = tallies.task("a", "q").in_trace(headers)
    books.received(redelivered=True)
    books.started(0.5)
    books.ended(Outcome.SUCCESS, 0.5, 0.25)
    books.raised("KeyError")
    books.revoked(Revocation.EXPIRED)
    books.timed_out(Limit.SOFT)
    data = memory.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    points = [point for metric in scope.metrics for point in metric.data.data_points]
    return tallies, [(f"{e.trace_id:032x}", f"{e.span_id:016x}") for point in points for e in point.exemplars]


def test_each_histogram_has_the_messages_trace() -> None:
    """Wait, runtime and duration carry it; the counts are those of the same books; no context is left behind."""
    tallies, exemplars = live(carrier())
    assert exemplars == [(TRACE, SPAN)] * 3
    (book,) = tallies.tasks()
    assert (book.received_count, book.redelivered_count, book.started_count) == (1, 1, 1)
    assert (book.ends[Outcome.SUCCESS], book.exceptions) == (1, {"KeyError": 1})
    assert (book.revocations[Revocation.EXPIRED], book.timeouts[Limit.SOFT]) == (1, 1)
    assert get_current_span() is INVALID_SPAN


@pytest.mark.parametrize("headers", [carrier("00"), {}, {"traceparent": "nonsense"}, {"traceparent": None}])
def test_a_trace_that_is_not_sampled_or_not_there_leaves_none(headers: dict[str, Any]) -> None:
    """The counts are kept all the same."""
    tallies, exemplars = live(headers)
    assert exemplars == []
    assert tallies.tasks()[0].started_count == 1
