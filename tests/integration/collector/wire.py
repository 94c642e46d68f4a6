"""OTLP made by hand: the counters and traces whose every number a test knows, posted as protobuf over HTTP."""

from __future__ import annotations

import hashlib
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality as Temporality
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.collector.collector import Collector

Export = ExportMetricsServiceRequest | ExportTraceServiceRequest

SECOND = 1_000_000_000
WORKER = "w@localhost"


@dataclass(frozen=True)
class Pusher:
    """Pushes to a Collector's HTTP port: over TLS where an authority is given, with a token where one is."""

    collector: Collector
    authority: Path | None = None
    token: str = ""

    def push(self, message: Export) -> int:
        """Post one export request; return the HTTP status."""
        path = "/v1/traces" if isinstance(message, ExportTraceServiceRequest) else "/v1/metrics"
        scheme = "https" if self.authority else "http"
        headers = {"Content-Type": "application/x-protobuf"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(
            f"{scheme}://{self.collector.address('HTTP')}{path}", message.SerializeToString(), headers
        )
        context = ssl.create_default_context(cafile=self.authority) if self.authority else None
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def delta(values: dict[str, int], *, since: int, until: int) -> Export:
    """Say how often each task was received between two moments, in nanoseconds."""
    return _received(values, Temporality.AGGREGATION_TEMPORALITY_DELTA, since, until)


def cumulative(values: dict[str, int], *, since: int, until: int) -> Export:
    """Say how often each task was received since the worker's start."""
    return _received(values, Temporality.AGGREGATION_TEMPORALITY_CUMULATIVE, since, until)


def trace(
    number: int,
    name: str,
    *,
    seconds: float = 0.01,
    failed: bool = False,
    retried: bool = False,
    publish: bool = True,
    run: bool = True,
) -> Export:
    """Make the spans of one task, in trace ``number``: its publisher's, its run's, or both."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.append(attribute("service.name", "proj"))
    end = time.time_ns()
    start = end - int(seconds * SECOND)
    trace_id, parent = _trace_id(number), (number * 2).to_bytes(8, "big")
    spans = group.scope_spans.add().spans
    if publish:
        spans.add(trace_id=trace_id, span_id=parent, name=f"apply_async/{name}", kind=Span.SPAN_KIND_PRODUCER)
        spans[-1].start_time_unix_nano, spans[-1].end_time_unix_nano = start, start + 1_000_000
    if run:
        spans.add(trace_id=trace_id, span_id=(number * 2 + 1).to_bytes(8, "big"), parent_span_id=parent)
        spans[-1].name, spans[-1].kind = f"run/{name}", Span.SPAN_KIND_CONSUMER
        spans[-1].start_time_unix_nano, spans[-1].end_time_unix_nano = start, end
        if failed:
            spans[-1].status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="boom"))
        if retried:
            spans[-1].attributes.append(attribute("celery.retry.reason", "Retry in 1s: no answer"))
    return message


def _received(values: dict[str, int], temporality: Temporality.ValueType, since: int, until: int) -> Export:
    message = ExportMetricsServiceRequest()
    group = message.resource_metrics.add()
    group.resource.attributes.extend([attribute("service.name", "proj"), attribute("service.instance.id", WORKER)])
    metric = group.scope_metrics.add().metrics.add(name="celery.task.received", unit="{task}")
    metric.sum.aggregation_temporality = temporality
    metric.sum.is_monotonic = True
    for task, value in values.items():
        labels = [attribute("worker", WORKER), attribute("task_name", task), attribute("queue", "celery")]
        metric.sum.data_points.append(
            NumberDataPoint(attributes=labels, start_time_unix_nano=since, time_unix_nano=until, as_int=value)
        )
    return message


def _trace_id(number: int) -> bytes:
    """Make the same id each time, with bits as evenly spread as those of real ones, which samplers count on."""
    return hashlib.sha256(str(number).encode()).digest()[:16]


def attribute(key: str, value: str) -> KeyValue:
    """Make one attribute."""
    return KeyValue(key=key, value=AnyValue(string_value=value))
