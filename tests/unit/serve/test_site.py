"""Paths, methods and states, asked over a real socket."""

from __future__ import annotations

import gzip
import socket

import pytest
from prometheus_client import CollectorRegistry


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


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/-/", "*"])
def test_unknown_path(served, path: str) -> None:
    """Any other path is not found, and the text names the ones there are."""
    reply = served.fetch(path)
    assert reply.status == 404
    assert b"/metrics" in reply.body


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "BREW"])
def test_wrong_method(served, path: str, method: str) -> None:
    """A method other than GET and HEAD is refused, with the ones that are allowed."""
    reply = served.fetch(path, method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready"])
def test_head(served, path: str) -> None:
    """HEAD says what GET would, without the body."""
    head, get = served.fetch(path, "HEAD"), served.fetch(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_healthy_and_ready(served, health) -> None:
    """The health paths say yes in a word, and no in the worker's own sentence."""
    assert served.fetch("/-/healthy").body == b"healthy\n"
    assert served.fetch("/-/ready").body == b"ready\n"
    health.sick, health.busy = "the event loop stands still", "the worker drains \N{EM DASH} \udcff"
    assert (served.fetch("/-/healthy").status, served.fetch("/-/ready").status) == (503, 503)
    assert served.fetch("/-/healthy").body == b"the event loop stands still\n"
    assert served.fetch("/-/ready").body == "the worker drains \N{EM DASH} ?\n".encode()


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
    """Requests in one packet are answered in one go, the last one closing."""
    request = b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    heard = served.say(request * 50 + request[:-2] + b"Connection: close\r\n\r\n")
    assert heard.count(b"HTTP/1.1 200 OK") == 51


def test_request_in_single_bytes(served) -> None:
    """A request that comes a byte at a time is understood."""
    with served.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            client.sendall(bytes([byte]))
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_half_closed_client(served) -> None:
    """A client that closes its side after the request still gets the response."""
    with served.connect() as client:
        client.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := client.recv(4096):
            heard += piece
    assert heard.endswith(b"ready\n")
