"""The port beside exponential histograms: it answers, and ours keep explicit buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, generate_latest

from otel_celery import catalogue
from otel_celery.catalogue import SCOPE
from otel_celery.lifecycle import Loss
from otel_celery.record.foreign import ForeignMetrics
from otel_celery.record.histograms import BothHistograms, SdkHistograms, TallyHistograms
from otel_celery.record.producers import Producers
from otel_celery.record.pull import PullReader
from otel_celery.record.refusals import Refusals
from otel_celery.record.source import SourceReader
from tests.unit.record.fakes import only_foreign

if TYPE_CHECKING:
    import pytest


def test_a_view_that_makes_everything_exponential(caplog: pytest.LogCaptureFixture) -> None:
    """An application's view beats every reader: ours are shown from the tally, others are counted, and said once."""
    registry, tallied = CollectorRegistry(), TallyHistograms((0.1, 1.0), InstrumentationScope(SCOPE), 0)
    view = View(instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())
    theirs, lost = InMemoryMetricReader(), list[tuple[Loss, int]]()
    refused = Refusals(lambda reason, number: lost.append((reason, number)))
    ours = SourceReader()
    PullReader(ours, registry, Producers(), ForeignMetrics(InstrumentationScope(SCOPE), 200, refused), tallied)
    provider = MeterProvider([theirs, ours], shutdown_on_exit=False, views=[view])
    both = BothHistograms(SdkHistograms(provider.get_meter(SCOPE), (0.1, 1.0)), tallied)
    both.series(catalogue.DURATION, {"queue": "q"}).record(0.5)
    provider.get_meter("app").create_histogram("app.latency").record(1)
    provider.get_meter("app").create_counter("app.orders").add(2)
    for _ in range(2):
        text = generate_latest(registry).decode()
    buckets = [line for line in text.splitlines() if line.startswith("celery_task_duration_seconds_bucket")]
    assert [line.rsplit(" ", 1)[1] for line in buckets] == ["0.0", "1.0", "1.0"]
    assert "app_orders_total 2.0" in text
    assert "app_latency" not in text
    (warning,) = caplog.messages
    assert "the metric 'app.latency' of the meter 'app' is an exponential histogram" in warning
    assert lost == [(Loss.UNSUPPORTED, 1)]
    data = theirs.get_metrics_data()
    assert data is not None
    kinds = {m.name: type(m.data).__name__ for s in data.resource_metrics[0].scope_metrics for m in s.metrics}
    assert kinds["celery.task.duration"] == "ExponentialHistogram"


def test_each_reader_has_the_aggregation_that_it_prefers() -> None:
    """From one provider of ours: exponential for who asks for it, explicit bounds for the port."""
    registry = CollectorRegistry()
    exponential = InMemoryMetricReader(preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()})
    source = SourceReader()
    PullReader(source, registry, Producers(), only_foreign())
    provider = MeterProvider([source, exponential], shutdown_on_exit=False)
    SdkHistograms(provider.get_meter(SCOPE), (0.1, 1.0)).series(catalogue.DURATION, {}).record(0.5)
    assert 'celery_task_duration_seconds_bucket{le="1.0"} 1.0' in generate_latest(registry).decode()
    data = exponential.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert type(metric.data).__name__ == "ExponentialHistogram"
