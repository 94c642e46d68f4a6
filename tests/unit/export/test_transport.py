"""Spans and metrics go to a collector as OpenTelemetry's exporters send them by requests, but without requests."""

from __future__ import annotations

import itertools
import os
import re
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from opentelemetry.exporter.http.transport._requests import RequestsHTTPTransport
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_celery.export as package
from otel_celery.export import transport
from otel_celery.export.transport import Transport
from otel_celery.settings.otlp import NETRC, PROVIDERS, PROXIES
from otel_celery.settings.settings import traces
from otel_celery.trace.exporters import Outage, load
from tests.otlp import http_receiver
from tests.unit.export.answering import answering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.trace.exporters import Quiet

OTLP = "OTEL_EXPORTER_OTLP_"
OURS = {"OTEL_TRACES_EXPORTER": "otlp"}
FOREIGN = (*PROXIES, *map(str.upper, PROXIES), "NETRC", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave out what the machine itself says of proxies, passwords and certificates."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(name="span", scope="module")
def a_span() -> ReadableSpan:
    """Give one span."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("t").start_span("one", attributes={"key": "value" * 200}).end()
    return memory.get_finished_spans()[0]


def made(monkeypatch: pytest.MonkeyPatch, **environ: str) -> Quiet:
    """Make the exporter that an environment asks for."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = traces({**os.environ, **OURS})
    assert found is not None
    (make,) = load(found.exporters, Outage())
    return make()


def transport_of(exporter: Any) -> Any:
    """Give what an exporter sends by."""
    return exporter._exporter._client._transport


def send(exporter: SpanExporter, span: ReadableSpan) -> SpanExportResult:
    """Export one span."""
    try:
        return exporter.export([span])
    finally:
        exporter.shutdown()


def why(exporter: Any) -> str:
    """Send something, and give the reason for which it does not arrive, after which the exporter tries again."""
    result = transport_of(exporter).request("POST", exporter._exporter._endpoint, timeout=5, data=b"x")
    exporter.shutdown()
    assert transport_of(exporter).is_connection_error(result.error)
    assert (result.status_code, result.content(), dict(result.headers())) == (None, b"", {})
    return repr(result.error)


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_a_request_is_the_same_as_by_requests(
    monkeypatch: pytest.MonkeyPatch, span: ReadableSpan, compression: str
) -> None:
    """Path, body and headers; requests would take an answer that is packed, of which nothing is read here."""
    with http_receiver() as receiver:
        monkeypatch.setenv(f"{OTLP}COMPRESSION", compression)
        monkeypatch.setenv(f"{OTLP}HEADERS", "x-key=k%20%C3%A9,X-Other=o")
        exporter = made(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
        assert isinstance(transport_of(exporter), Transport)
        assert send(exporter, span) is SpanExportResult.SUCCESS
        theirs = OTLPSpanExporter(f"{receiver.url}/v1/traces", headers={"connection": "close"})
        assert send(theirs, span) is SpanExportResult.SUCCESS
        ours, other = receiver.requests
    assert (ours.path, ours.message) == (other.path, other.message)
    assert ours.headers.pop("accept-encoding") == "identity"
    del other.headers["accept-encoding"], other.headers["accept"]
    assert ours.headers == other.headers
    assert (ours.headers["x-key"], ours.headers["x-other"]) == ("k \xe9", "o")


def test_metrics_go_the_same_way() -> None:
    """Each class of the exporters' has the argument."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    (exporter,) = (traces({**os.environ, **OURS}) or pytest.fail("no spans")).exporters
    assert exporter.otlp is not None
    assert isinstance(transport.argument(exporter.otlp, OTLPMetricExporter)[transport.ARGUMENT], Transport)


@pytest.mark.parametrize("moved", ["argument", "module"])
def test_a_release_without_what_it_needs_sends_by_requests(
    monkeypatch: pytest.MonkeyPatch, span: ReadableSpan, moved: str
) -> None:
    """The names are private ones of the exporters' package."""
    if moved == "argument":
        monkeypatch.setattr(transport, "ARGUMENT", "_moved")
    else:
        monkeypatch.setitem(sys.modules, transport.__name__, None)
        monkeypatch.delattr(package, "transport")
    with http_receiver() as receiver:
        exporter = made(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
        assert isinstance(transport_of(exporter), RequestsHTTPTransport)
        assert send(exporter, span) is SpanExportResult.SUCCESS


def test_a_user_in_the_url_is_told_to_the_collector(monkeypatch: pytest.MonkeyPatch, span: ReadableSpan) -> None:
    """As by requests; the rest of the URL is taken as it is, a query included."""
    with answering([OK]) as server:
        endpoint = f'http://me:se%3Acret@{server.authority}/a b/%20?q=\u007e"1'
        monkeypatch.setenv(f"{OTLP}HEADERS", "authorization=Bearer%20other")
        exporter = made(monkeypatch, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=endpoint.replace(" ", "+"))
        assert send(exporter, span) is SpanExportResult.SUCCESS
        (head,) = server.requests
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /a+b/%20?q=~%221 http/1.1"
    assert {"authorization: basic bwu6c2u6y3jlda==", f"host: {server.authority}"} <= set(lines)
    assert head.lower().count(b"authorization") == 1


@pytest.mark.parametrize(
    "environ",
    [
        *({name: "http://127.0.0.1:1"} for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY")),
        *({name.format("TRACES"): "gcp"} for name in PROVIDERS),
        {"NETRC": __file__},
        *({f"{OTLP}ENDPOINT": url} for url in ("http://\xe9.example", "http://[fe80::1%251]:1", "http://c.example.:1")),
    ],
    ids=str,
)
def test_what_requests_alone_knows_is_left_to_it(environ: dict[str, str]) -> None:
    """Proxies, sessions made by plug-ins, files of passwords, and the names of hosts that it knows how to write."""
    (exporter,) = (traces({**os.environ, **OURS, **environ}) or pytest.fail("no spans")).exporters
    assert exporter.otlp is not None
    assert not exporter.otlp.is_direct
    assert transport.argument(exporter.otlp, OTLPSpanExporter) == {}


def test_a_file_of_passwords_at_home_is_left_to_requests(tmp_path: Path) -> None:
    """It is read at each request."""
    (tmp_path / NETRC[0].partition("/")[2]).touch()
    (exporter,) = (traces({**os.environ, **OURS}) or pytest.fail("no spans")).exporters
    assert exporter.otlp is not None
    assert not exporter.otlp.is_direct


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch, span: ReadableSpan) -> None:
    """By requests, as before."""
    with answering([OK]) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.authority}")
        exporter = made(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.invalid:4318")
        assert isinstance(transport_of(exporter), RequestsHTTPTransport)
        assert send(exporter, span) is SpanExportResult.SUCCESS
        assert proxy.requests[0].startswith(b"POST http://collector.invalid:4318/v1/traces HTTP/1.1\r\n")


# -- certificates ------------------------------------------------------------------------------------------------------


@pytest.fixture(name="authority", scope="module")
def an_authority() -> trustme.CA:
    """Give the CA that has signed the collector's certificate and ours."""
    return trustme.CA()


@pytest.fixture(name="files")
def its_files(tmp_path: Path, authority: trustme.CA) -> dict[str, str]:
    """Write our certificate, its key and the CA, and give their variables."""
    ours = authority.issue_cert("worker@example.org")
    paths = {name: tmp_path / f"{name}.pem" for name in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")}
    authority.cert_pem.write_to_path(str(paths["CERTIFICATE"]))
    ours.private_key_pem.write_to_path(str(paths["CLIENT_KEY"]))
    ours.cert_chain_pems[0].write_to_path(str(paths["CLIENT_CERTIFICATE"]))
    return {f"{OTLP}{name}": str(path) for name, path in paths.items()}


@pytest.fixture(name="tls")
def its_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Give the collector's TLS, which wants a certificate of each client."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_certificates_are_shown_and_asked_for(
    monkeypatch: pytest.MonkeyPatch, span: ReadableSpan, tls: ssl.SSLContext, files: dict[str, str]
) -> None:
    """On both sides; the collector's own CA counts, whatever bundle requests would be told to take."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    with http_receiver(tls) as receiver:
        exporter = made(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, **files)
        assert isinstance(transport_of(exporter), Transport)
        assert send(exporter, span) is SpanExportResult.SUCCESS
        assert len(receiver.spans("one")) == 1


def test_the_bundle_of_requests_is_taken(
    monkeypatch: pytest.MonkeyPatch, span: ReadableSpan, tls: ssl.SSLContext, files: dict[str, str]
) -> None:
    """Where there is no CA of OTLP's own."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", files.pop(f"{OTLP}CERTIFICATE"))
    with http_receiver(tls) as receiver:
        exporter = made(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, **files)
        assert send(exporter, span) is SpanExportResult.SUCCESS


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ("CERTIFICATE", "CERTIFICATE_VERIFY_FAILED"),
        ("CLIENT_CERTIFICATE", "(CERTIFICATE_REQUIRED|alert|closed|reset|EOF)"),
    ],
)
def test_a_stranger_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext, files: dict[str, str], left_out: str, reason: str
) -> None:
    """Neither a collector whose CA is none of ours, which are certifi's, nor we from one that wants a certificate."""
    del files[f"{OTLP}{left_out}"]
    with http_receiver(tls) as receiver:
        error = why(made(monkeypatch, **files, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url))
        assert receiver.attempts == 0
    assert re.search(reason, error), error


def test_a_key_with_a_passphrase_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext, files: dict[str, str]
) -> None:
    """OpenSSL would ask for it on the terminal, and the export would wait for ever."""
    from cryptography.hazmat.primitives import serialization

    path = Path(files[f"{OTLP}CLIENT_KEY"])
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    with http_receiver(tls) as receiver:
        assert "SSLError" in why(made(monkeypatch, **files, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url))


# -- collectors that do not answer well --------------------------------------------------------------------------------


@pytest.mark.alone
def test_it_comes_back_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch, span: ReadableSpan) -> None:
    """As the exporters do it by requests: at once where the collector says so, and not after their own second."""
    busy = b"HTTP/1.1 503 Service Unavailable\r\nRETRY-AFTER: 0\r\nContent-Length: 0\r\n\r\n"
    with answering([busy], [OK]) as server:
        begun = time.monotonic()
        exporter = made(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{server.authority}")
        assert send(exporter, span) is SpanExportResult.SUCCESS
        assert (len(server.requests), time.monotonic() - begun < 0.8) == (2, True)


def test_a_refusal_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, span: ReadableSpan
) -> None:
    """The log has its status."""
    with answering([b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"]) as server:
        exporter = made(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{server.authority}")
        assert send(exporter, span) is SpanExportResult.FAILURE
        assert len(server.requests) == 1
    assert "code: 401, reason: Unauthorized" in caplog.text


def test_a_collector_that_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the system."""
    assert "Connection refused" in why(made(monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"))


def drops(pause: float, *pieces: bytes) -> Iterator[bytes]:
    """Send the last piece for ever, with a pause after each, so that no single wait is long."""
    *first, last = pieces
    yield from first
    for piece in itertools.repeat(last):
        time.sleep(pause)
        yield piece


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.alone
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(lambda: drops(0.02, b"H"), id="letter by letter"),
        pytest.param(lambda: drops(0, HEAD, b"X-Y: " + b"z" * 9_000 + b"\r\n"), id="endless head"),
        pytest.param(lambda: drops(0, HEAD, b"X-Y: " + b"z" * 100_000), id="endless line"),
        pytest.param(lambda: drops(0, b"HTTP/1.1 100 Continue\r\n\r\n"), id="continue for ever"),
        pytest.param(lambda: [b"\x15\x03\x01\x00\x02\x02\x16" * 10], id="no HTTP"),
        pytest.param(list, id="closed"),
        pytest.param(lambda: [b"HTTP/1.1 2"], id="torn"),
    ],
)
def test_a_bad_answer_is_a_failure_in_time(monkeypatch: pytest.MonkeyPatch, span: ReadableSpan, pieces: Any) -> None:
    """The timeout bounds the whole of it, where requests would wait as long for each piece."""
    with answering(pieces(), pieces(), pieces(), pieces()) as server:
        more = {f"{OTLP}ENDPOINT": f"http://{server.authority}", f"{OTLP}TIMEOUT": "400"}
        exporter = made(monkeypatch, **more)
        begun = time.monotonic()
        assert send(exporter, span) is SpanExportResult.FAILURE
        assert time.monotonic() - begun < 2


@pytest.mark.alone
@pytest.mark.parametrize(
    "head",
    [HEAD, HEAD + b"Transfer-Encoding: chunked\r\n", HEAD + b"Content-Length: 99999999999\r\n"],
    ids=["unbounded", "chunked", "long"],
)
def test_the_body_of_an_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, span: ReadableSpan, head: bytes
) -> None:
    """What is taken is taken, however much is said about it."""
    with answering(drops(0, head + b"\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n")) as server:
        more = {f"{OTLP}ENDPOINT": f"http://{server.authority}", f"{OTLP}TIMEOUT": "5000"}
        exporter = made(monkeypatch, **more)
        begun = time.monotonic()
        assert send(exporter, span) is SpanExportResult.SUCCESS
        assert time.monotonic() - begun < 2
