"""An OTLP receiver inside the test's process: it writes down the metrics and spans that real workers push.

It speaks HTTP with protobuf bodies, or gRPC, and can be told to fail: to answer an error, to be slow, or to hang.
"""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.services import LOOPBACK, free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

KINDS = ("gauge", "sum", "histogram", "exponential_histogram")


@dataclass(frozen=True)
class Point:
    """One data point of a metric, as it was pushed."""

    name: str
    unit: str
    kind: str
    """gauge, sum, histogram or exponential_histogram."""
    temporality: int
    """1 delta, 2 cumulative, 0 where the kind has none."""
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    data: Any = field(repr=False)
    """OTLP's NumberDataPoint, HistogramDataPoint or ExponentialHistogramDataPoint."""

    @property
    def value(self) -> float:
        """Give a number's value, or a histogram's count."""
        if self.kind in {"gauge", "sum"}:
            return float(getattr(self.data, self.data.WhichOneof("value")))
        return float(self.data.count)


@dataclass(frozen=True)
class Span:
    """One span, as it was pushed."""

    name: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    data: ProtoSpan = field(repr=False)
    """OTLP's Span: trace_id, span_id and parent_span_id are bytes."""


@dataclass(frozen=True)
class Request:
    """One export request that arrived whole."""

    path: str
    headers: dict[str, str]
    """By their names in lower case."""
    message: Any
    at: float
    """The moment of the monotonic clock at which it had arrived."""

    def points(self) -> Iterator[Point]:
        """Walk through the data points of a metrics request."""
        for group in getattr(self.message, "resource_metrics", ()):
            resource = _plain(group.resource.attributes)
            for scoped in group.scope_metrics:
                for metric in scoped.metrics:
                    kind = str(metric.WhichOneof("data"))
                    body = getattr(metric, kind)
                    temporality = getattr(body, "aggregation_temporality", 0)
                    for data in body.data_points:
                        labels = _plain(data.attributes)
                        yield Point(
                            metric.name, metric.unit, kind, temporality, labels, resource, scoped.scope.name, data
                        )

    def spans(self) -> Iterator[Span]:
        """Walk through the spans of a traces request."""
        for group in getattr(self.message, "resource_spans", ()):
            resource = _plain(group.resource.attributes)
            for scoped in group.scope_spans:
                for span in scoped.spans:
                    yield Span(span.name, _plain(span.attributes), resource, scoped.scope.name, span)


class Receiver:
    """What arrived, and how the receiver behaves: set ``status``, ``delay`` or ``hangs`` at any time."""

    def __init__(self, url: str) -> None:
        """Begin with nothing, answering everything at once."""
        self.url = url
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        self.requests: list[Request] = []
        self.attempts = 0
        """How many requests came, those that were refused included."""
        self.status = 200
        """The HTTP status to answer with; anything but 200 keeps the request out of ``requests``."""
        self.delay = 0.0
        """The seconds to wait before the request is taken and answered."""
        self.hangs = False
        """Whether requests are read and never answered."""
        self.closing = threading.Event()
        self._lock = threading.Lock()

    def points(self, name: str = "", **attributes: str) -> list[Point]:
        """List the data points pushed so far, of one metric or of all, that have these attributes."""
        found = (point for request in self._taken() for point in request.points() if point.name == name or not name)
        return [point for point in found if attributes.items() <= point.attributes.items()]

    def latest(self, name: str, **attributes: str) -> float:
        """Sum the newest value of each cumulative series of one metric; a histogram's value is its count."""
        newest = {(point.resource["service.instance.id"], *_key(point)): point for point in self.points(name)}
        return sum(p.value for p in newest.values() if attributes.items() <= p.attributes.items())

    def total(self, name: str, **attributes: str) -> float:
        """Sum all values of a metric that is pushed as deltas."""
        points = self.points(name, **attributes)
        assert {point.temporality for point in points} <= {1}, f"{name} is not pushed as deltas"
        return sum(point.value for point in points)

    def spans(self, name: str = "") -> list[Span]:
        """List the spans pushed so far, of one name or of all."""
        return [span for request in self._taken() for span in request.spans() if span.name == name or not name]

    def clear(self) -> None:
        """Forget what arrived."""
        with self._lock:
            self.requests.clear()

    def take(self, path: str, headers: Iterable[tuple[str, str]], message: Any) -> int:
        """Behave as told, take the message if that is the behaviour, and say with which status to answer."""
        with self._lock:
            self.attempts += 1
        if self.hangs:
            self.closing.wait()
            return 503
        if self.delay:
            self.closing.wait(self.delay)
        if self.status == 200:
            names = {name.lower(): value for name, value in headers}
            with self._lock:
                self.requests.append(Request(path, names, message, time.monotonic()))
        return self.status

    def _taken(self) -> list[Request]:
        with self._lock:
            return list(self.requests)


@contextmanager
def http_receiver(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    """Receive OTLP/HTTP on the loopback, on a port of its own unless one is given."""
    server = _Server((LOOPBACK, port), _Handler)
    scheme = "http"
    if tls is not None:
        scheme = "https"
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.receiver = Receiver(f"{scheme}://localhost:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.receiver
    finally:
        server.receiver.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def grpc_receiver() -> Iterator[Receiver]:
    """Receive OTLP/gRPC on the loopback, without TLS."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    port = free_port()
    receiver = Receiver(f"http://localhost:{port}")
    server = grpc.server(ThreadPoolExecutor(4))
    for service, (wanted, given) in _GRPC.items():
        export = grpc.unary_unary_rpc_method_handler(
            _exporting(receiver, given), wanted.FromString, given.SerializeToString
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": export}),))
    server.add_insecure_port(f"{LOOPBACK}:{port}")
    server.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.stop(0).wait(10)


_HTTP: Mapping[str, tuple[Any, Any]] = {
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
    "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
}

_GRPC: Mapping[str, tuple[Any, Any]] = {
    "opentelemetry.proto.collector.metrics.v1.MetricsService": _HTTP["/v1/metrics"],
    "opentelemetry.proto.collector.trace.v1.TraceService": _HTTP["/v1/traces"],
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a handler that hangs must not hold the test up
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that gave up is what is asked for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Take one export request."""
        body = _unpacked(self.rfile.read(int(self.headers["content-length"])), self.headers.get("content-encoding"))
        wanted, given = _HTTP.get(self.path, (None, None))
        status, answer = 404, b""
        if wanted is not None and given is not None:
            status = self.server.receiver.take(self.path, self.headers.items(), wanted.FromString(body))
            answer = given().SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's signature
        """Say nothing on stderr."""


def _exporting(receiver: Receiver, answer: Any) -> Any:
    import grpc

    def export(message: Any, context: Any) -> Any:
        headers = [(name, value) for name, value in context.invocation_metadata() if isinstance(value, str)]
        if receiver.take("grpc", headers, message) != 200:
            context.abort(grpc.StatusCode.UNAVAILABLE, "told to fail")
        return answer()

    return export


def _unpacked(body: bytes, encoding: str | None) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def _plain(attributes: Iterable[Any]) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _key(point: Point) -> tuple[str, frozenset[tuple[str, str]]]:
    return point.name, frozenset((name, str(value)) for name, value in point.attributes.items())
