"""Paths, methods and states, asked over a real socket."""

from __future__ import annotations

import contextlib
import gzip
import socket

import pytest
from prometheus_client import CollectorRegistry

from otel_celery.settings.settings import Port


def test_metrics(served) -> None:
    """A plain scrape gets the registry as text."""
    reply = served.fetch()
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\norders_total 3.0\n" in reply.body
    assert b"# EOF" not in reply.body


def test_openmetrics_in_gzip(served) -> None:
    """Who asks for OpenMetrics in gzip gets it, to its end mark."""
    reply = served.fetch(Accept="application/openmetrics-text;version=1.0.0", Accept_Encoding="gzip")
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert gzip.decompress(reply.body).endswith(b"# EOF\n")


def test_query_is_ignored(served) -> None:
    """A query after the path changes nothing."""
    assert served.fetch("/metrics?module=x").status == 200


def test_a_target_as_for_a_proxy_is_answered(served) -> None:
    """With its query, and checked by its host as any request is by Host."""
    assert b"\norders_total 3.0\n" in served.fetch("http://127.0.0.1:9101/metrics?module=x").body
    assert served.fetch("http://website.example/metrics").status == 421


@pytest.mark.parametrize(
    "path", ["/metric", "/metrics/", "/-/", "/-/runbook/", "*", "//", "/index.html", "/favicon.ico"]
)
def test_unknown_path(served, path: str) -> None:
    """Any other path is not found, and the text names the ones there are."""
    reply = served.fetch(path)
    assert reply.status == 404
    assert b"/metrics" in reply.body


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/-/runbook"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "BREW"])
def test_wrong_method(served, path: str, method: str) -> None:
    """A method other than GET and HEAD is refused, with the ones that are allowed."""
    reply = served.fetch(path, method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/-/runbook"])
def test_head(served, path: str) -> None:
    """HEAD says what GET would, without the body."""
    head, get = served.fetch(path, "HEAD"), served.fetch(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_healthy_and_ready(served, health) -> None:
    """The health paths say yes in a word; why it is not ready is the worker's sentence, and does not make it ill."""
    assert served.fetch("/-/healthy").body == b"healthy\n"
    assert served.fetch("/-/ready").body == b"ready\n"
    health.busy = "the worker drains \N{EM DASH} \udcff"
    assert (served.fetch("/-/healthy").status, served.fetch("/-/ready").status) == (200, 503)
    assert served.fetch("/-/ready").body == "the worker drains \N{EM DASH} ?\n".encode()


def test_a_process_that_has_to_be_restarted(served, health) -> None:
    """What the health object says is the answer."""
    health.stuck = "beat has not ticked for 400 s"
    reply = served.fetch("/-/healthy")
    assert (reply.status, reply.body) == (503, b"beat has not ticked for 400 s\n")
    assert served.fetch("/-/ready").status == 200


def test_health_that_cannot_be_told_is_good(served, health) -> None:
    """An error of ours is reported, and nobody is restarted for it."""
    health.healthy = lambda: 1 // 0
    assert served.fetch("/-/healthy").body == b"healthy\n"
    assert [where for where, _ in served.errors] == ["health"]


def test_a_render_that_raises(serve) -> None:
    """A collector that raises is answered with 500 and reported, and the server lives on."""

    class Moody:
        mood = True

        def collect(self):
            if self.mood:
                raise ZeroDivisionError("secret detail")
            return []

    registry, moody = CollectorRegistry(auto_describe=False), Moody()
    moody.mood = False
    registry.register(moody)
    served = serve(collector=registry)
    moody.mood = True
    reply = served.fetch()
    assert (reply.status, reply.body) == (500, b"internal error: ZeroDivisionError\n")
    assert [(where, type(error)) for where, error in served.errors] == [("render", ZeroDivisionError)]
    moody.mood = False
    assert served.fetch().status == 200


def test_health_that_raises(served, health) -> None:
    """A health probe that raises is answered with 500 and reported."""
    health.ready = lambda: 1 // 0
    assert served.fetch("/-/ready").status == 500
    assert [where for where, _ in served.errors] == ["health"]


def test_an_error_that_cannot_be_reported(serve, health, caplog) -> None:
    """Even an on_error that raises leaves the server alive, with a traceback in the log."""
    served = serve()
    health.ready = lambda: 1 // 0
    served.errors = None  # the callback's append raises now
    assert served.fetch("/-/ready").status == 500
    assert served.fetch("/-/healthy").status == 200
    assert "'health' could not be reported" in caplog.text


def test_a_megabyte_of_head_is_told_so(served) -> None:
    """A client hears why it was refused, although it was still talking."""
    heard = b""
    with served.connect() as client:
        client.settimeout(3)
        try:
            client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        while piece := client.recv(4096):
            heard += piece
    assert heard.startswith(b"HTTP/1.1 431 ")


def test_pipelined_over_the_network(served) -> None:
    """The first of several requests in one packet is answered, and the connection closed."""
    heard = served.say(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
    assert heard.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in heard


def test_who_talks_on_when_all_is_over_is_put_out(served) -> None:
    """What it says is thrown away, and not without end."""
    said = 0
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(OSError):
            while said < 1 << 28:
                said += client.send(b"x" * 65536)
    assert said < 1 << 28


HOSTS = [
    "localhost",
    "LOCALHOST:9101",
    "127.0.0.1",
    "127.8.8.8:80",
    "[::1]:9101",
    "[::1]",
    "a.localhost:1",
    "localhost.:1",
    "10.0.0.7:8443",
]


@pytest.mark.parametrize("host", [*HOSTS, "[fd00::7]:9", "host.docker.internal:9101", "host.containers.internal", ""])
def test_a_host_that_nobodys_dns_can_point_here_is_answered(served, host: str) -> None:
    """The loopback's names, addresses, and what a container calls the machine that it runs on."""
    assert served.fetch(Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9101", "127.0.0.1.evil.example", "localhost.evil.example", "x"]
)
@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/"])
def test_a_browser_that_was_led_here_is_refused(served, host: str, path: str) -> None:
    """A page of evil.example, whose name has come to mean 127.0.0.1, reads nothing; the sentence says what to send."""
    refused = served.fetch(path, Host=host)
    assert refused.status == 421
    assert b"orders" not in refused.body
    assert refused.body.endswith(b"in front of it has to send Host: localhost\n")


@pytest.mark.parametrize("host", ["a b", "[", "evil.example:port", "::1:::", "x" * 5000, "\xff"])
def test_a_host_that_is_none_is_refused(served, host: str) -> None:
    """Whatever it is made of."""
    assert served.fetch(Host=host).status in {400, 421}


def test_an_old_client_need_not_name_a_host(served) -> None:
    """HTTP/1.0 knows no Host, and no browser speaks it."""
    assert b"HTTP/1.1 200 OK" in served.say(b"GET /metrics HTTP/1.0\r\n\r\n")


def test_the_configured_host_is_answered(serve, monkeypatch) -> None:
    """A name of the loopback's that the operator has chosen."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **named: resolve("127.0.0.1", *rest, **named))
    served = serve(Port(host="metrics.example", number=0))
    assert served.fetch(Host="Metrics.Example:80").status == 200
    assert served.fetch(Host="other.example").status == 421


def test_who_listens_for_the_network_answers_to_any_name(serve) -> None:
    """The machine's name, a pod's, or that of a proxy."""
    assert serve(Port(host="0.0.0.0", number=0)).fetch(Host="metrics.example").status == 200  # noqa: S104  a value


def test_request_in_single_bytes(served) -> None:
    """A request that comes a byte at a time is understood."""
    with served.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":
            client.sendall(bytes([byte]))
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_half_closed_client(served) -> None:
    """A client that closes its side after the request still gets the response."""
    with served.connect() as client:
        client.sendall(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := client.recv(4096):
            heard += piece
    assert heard.endswith(b"ready\n")
