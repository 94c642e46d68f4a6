"""The receiver that other tests lean on takes what the real exporters send, and fails as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.otlp import Receiver, grpc_receiver, http_receiver

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData

INSTANCE = Resource({"service.instance.id": "one"})


def collected(amount: int = 3) -> MetricsData:
    """Record one counter and one histogram."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], INSTANCE, shutdown_on_exit=False).get_meter("scope")
    meter.create_counter("c", "{thing}").add(amount, {"a": "b"})
    meter.create_histogram("h", "s").record(0.5)
    data = reader.get_metrics_data()
    assert data is not None
    return data


def push(exporter: MetricExporter, amount: int = 3) -> MetricExportResult:
    """Export once."""
    try:
        return exporter.export(collected(amount))
    finally:
        exporter.shutdown()


@pytest.mark.parametrize("compression", list(Compression), ids=str)
def test_metrics_over_http_are_taken(compression: Compression) -> None:
    """Names, attributes, resource, scope, values and headers are there, whichever the compression."""
    with http_receiver() as receiver:
        exporter = OTLPMetricExporter(f"{receiver.url}/v1/metrics", headers={"X-Key": "k"}, compression=compression)
        assert push(exporter) is MetricExportResult.SUCCESS
        (point,) = receiver.points("c", a="b")
        assert (point.unit, point.kind, point.temporality, point.scope) == ("{thing}", "sum", 2, "scope")
        assert (point.value, receiver.latest("c"), receiver.latest("h")) == (3, 3, 1)
        assert point.resource["service.instance.id"] == "one"
        assert receiver.requests[0].headers["x-key"] == "k"
        receiver.clear()
        assert receiver.points() == []


def test_metrics_over_grpc_are_taken() -> None:
    """The same by the other protocol."""
    with grpc_receiver() as receiver:
        assert push(GrpcMetricExporter(receiver.url, insecure=True)) is MetricExportResult.SUCCESS
        assert receiver.latest("c", a="b") == 3


def test_spans_are_taken() -> None:
    """Spans arrive with their ids."""
    with http_receiver() as receiver:
        provider = TracerProvider(resource=INSTANCE, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{receiver.url}/v1/traces")))
        with provider.get_tracer("t").start_as_current_span("outer"):
            provider.get_tracer("t").start_span("inner").end()
        (outer,), (inner,) = receiver.spans("outer"), receiver.spans("inner")
        assert inner.data.parent_span_id == outer.data.span_id
        assert (outer.scope, outer.resource["service.instance.id"]) == ("t", "one")
        provider.shutdown()


def failing(receiver: Receiver, timeout: float = 0.5) -> MetricExportResult:
    """Push to a receiver that does not answer well."""
    return push(OTLPMetricExporter(f"{receiver.url}/v1/metrics", timeout=timeout))


def test_it_fails_as_it_is_told() -> None:
    """An error status, a hanging and a slow receiver are what the exporter sees; nothing is taken meanwhile."""
    with http_receiver() as receiver:
        receiver.status = 500
        assert failing(receiver) is MetricExportResult.FAILURE
        receiver.status, receiver.hangs = 200, True
        assert failing(receiver) is MetricExportResult.FAILURE
        receiver.hangs, receiver.delay = False, 0.2
        assert (receiver.points(), receiver.attempts > 1) == ([], True)
        assert failing(receiver, 10) is MetricExportResult.SUCCESS
        assert receiver.latest("c") == 3
