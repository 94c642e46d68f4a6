"""Every configuration starts, becomes healthy, and lets in who may come in."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from tests.integration.collector.collector import Collector, running
from tests.integration.collector.conftest import secured_by
from tests.integration.collector.wire import Pusher, cumulative, trace
from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("collector-start")

NOWHERE = {
    "OTELCOL_REMOTE_WRITE_URL": "http://127.0.0.1:9/api/v1/write",
    "OTELCOL_GATEWAY_URL": "https://127.0.0.1:9",
    "OTELCOL_TRACES_URL": "https://127.0.0.1:9",
}
EVERY = [
    pytest.param("agent", {}, id="agent"),
    pytest.param("agent", {"OTELCOL_RECEIVER": "prometheus"}, id="agent-scraping"),
    pytest.param("agent", {"OTELCOL_EXPORTERS": "[prometheus, otlp_http/gateway]"}, id="agent-to-gateway"),
    pytest.param("gateway", {}, id="gateway"),
    pytest.param("traces", {}, id="traces"),
]


def pushed(collector: Collector, credentials: Path, message) -> int:
    """Push with what README says a worker needs."""
    return Pusher(collector, credentials / "server.pem", (credentials / "token").read_text().strip()).push(message)


def one():
    """Make the smallest push."""
    return cumulative({"t": 1}, since=time.time_ns() - 1, until=time.time_ns())


@pytest.mark.parametrize(("name", "choice"), EVERY)
def test_starts(otelcol, secured, tmp_path, name, choice):
    """It becomes healthy, tells of itself, has nothing to complain of, and stops when it is told to."""
    with running(otelcol, name, tmp_path, {**NOWHERE, **secured, **choice}) as collector:
        assert collector.scrape("TELEMETRY").value("otelcol_process_uptime_total") > 0
        collector.stop()
        # A ring of one calls itself before it listens, and while it closes; gRPC says so, and tries again.
        said = [line for line in collector.log.lower().splitlines() if '"grpc_log": true' not in line]
        assert [line for line in said if "deprecat" in line or "\twarn\t" in line or "\terror\t" in line] == []


def test_agent_listens_on_the_loopback_only(otelcol, tmp_path):
    """The agent's ports, which have neither TLS nor a token, are closed to other hosts."""
    with running(otelcol, "agent", tmp_path, NOWHERE) as agent:
        for listener in ("GRPC", "HTTP", "PROMETHEUS", "HEALTH", "TELEMETRY"):
            socket.create_connection(("127.0.0.1", agent.ports[listener]), 5).close()
            with pytest.raises(OSError):  # noqa: PT011  refused, or unreachable
                socket.create_connection(("127.0.0.2", agent.ports[listener]), 5)


@contextmanager
def started(otelcol: str, name: str, directory: Path, credentials: Path) -> Iterator[Collector]:
    """Start a Collector that listens to other hosts."""
    with running(otelcol, name, directory, {**NOWHERE, **secured_by(credentials)}) as collector:
        yield collector


@pytest.mark.parametrize("name", ["gateway", "traces"])
@pytest.mark.parametrize("missing", ["CERT_FILE", "KEY_FILE", "TOKEN_FILE"])
def test_does_not_start_unprotected(otelcol, secured, tmp_path, name, missing):
    """What listens to other hosts does not start without a certificate, its key or a token, and names the file."""
    environment = {**NOWHERE, **secured, f"OTELCOL_{missing}": str(tmp_path / "is-not-there")}
    collector = Collector(otelcol, name, tmp_path, environment)
    assert "is-not-there" in collector.refuses_to_start()


@pytest.mark.parametrize("name", ["gateway", "traces"])
def test_wants_a_token_and_tls(otelcol, credentials, tmp_path, name):
    """Without a token, with another one and without TLS nothing is taken; with both it is, on each port."""
    message = one() if name == "gateway" else trace(1, "t")
    with started(otelcol, name, tmp_path, credentials) as collector:
        authority = credentials / "server.pem"
        assert Pusher(collector, authority).push(message) == 401
        assert Pusher(collector, authority, "guess").push(message) == 401
        assert Pusher(collector).push(message) == 400
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            Pusher(collector, _other_authority(tmp_path), "guess").push(message)
        assert pushed(collector, credentials, message) == 200
        for listener in ("GRPC", "RING"):
            assert _by_grpc(collector, listener, credentials, "guess") == grpc.StatusCode.UNAUTHENTICATED


def test_takes_a_new_token_without_a_restart(otelcol, credentials, tmp_path):
    """A token that is written to the file is the one that counts, seconds later."""
    token = tmp_path / "token"
    token.write_text("old")
    environment = {**NOWHERE, **secured_by(credentials), "OTELCOL_TOKEN_FILE": str(token)}
    with running(otelcol, "gateway", tmp_path, environment) as gateway:
        old, new = (Pusher(gateway, credentials / "server.pem", word) for word in ("old", "new"))
        assert old.push(one()) == 200
        token.write_text("new")
        wait_until(lambda: new.push(one()) == 200, "the new token is taken")
        assert old.push(one()) == 401


def _other_authority(directory: Path) -> Path:
    import trustme

    path = directory / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


def _by_grpc(collector: Collector, listener: str, credentials: Path, token: str) -> object:
    channel_credentials = grpc.ssl_channel_credentials((credentials / "server.pem").read_bytes())
    with grpc.secure_channel(f"localhost:{collector.ports[listener]}", channel_credentials) as channel:
        service = "traces.v1.TraceService" if "traces" in str(collector.log_path) else "metrics.v1.MetricsService"
        call = channel.unary_unary(
            f"/opentelemetry.proto.collector.{service.replace('traces', 'trace')}/Export",
            response_deserializer=ExportMetricsServiceResponse.FromString,
        )
        try:
            call(b"", timeout=20, metadata=[("authorization", f"Bearer {token}")])
        except grpc.RpcError as error:
            return error.code()
    return None
