"""Opening, retrying and closing a port."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from otel_celery.serve.server import Endpoint, open_endpoint
from otel_celery.settings.settings import Port
from tests.unit.serve.conftest import page


def descriptors() -> int:
    """Count this process's open files."""
    return len(list(Path("/proc/self/fd").iterdir()))


def endpoint_threads() -> list[threading.Thread]:
    """List the threads of endpoints."""
    return [thread for thread in threading.enumerate() if thread.name == "otel-celery-serve"]


@pytest.fixture
def blocker():
    """Listen on a port that an endpoint wants."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken


def test_free_port(serve) -> None:
    """A free port is served at once, by one thread, and the caller hears its number."""
    served = serve()
    assert (served.opened, served.taken, served.errors) == ([served.endpoint.port], [], [])
    assert len(endpoint_threads()) == 1
    assert served.endpoint.url == f"http://localhost:{served.endpoint.port}"


@pytest.mark.alone
def test_closing(serve) -> None:
    """Closing is fast, can be repeated, and leaves neither thread nor descriptor nor port behind."""
    before = descriptors()
    served = serve()
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.recv(4096)
        start = time.monotonic()
        served.endpoint.close()
        served.endpoint.close()
        assert time.monotonic() - start < 0.5
        while client.recv(4096):
            pass  # the end comes, or the test times out
    assert endpoint_threads() == []
    assert descriptors() == before
    assert serve(Port(number=served.endpoint.port)).opened


def test_taken_port_is_retried(serve, blocker, eventually) -> None:
    """A taken port is reported once, tried again until it is free, and then served."""
    number = blocker.getsockname()[1]
    served = serve(Port(number=number))
    assert len(served.taken) == 1
    assert served.opened == []
    assert len(endpoint_threads()) == 1
    time.sleep(0.2)  # several attempts, none of which may be reported
    blocker.close()
    eventually(lambda: served.opened)
    assert served.fetch().status == 200
    assert (served.opened, len(served.taken), served.errors) == ([number], 1, [])


def test_rolling_restart(serve, eventually) -> None:
    """A second endpoint takes over the port as soon as the first one lets go."""
    first = serve()
    second = serve(Port(number=first.endpoint.port))
    assert len(second.taken) == 1
    first.endpoint.close()
    eventually(lambda: second.opened)
    assert second.fetch("/-/ready").status == 200


def test_taken_port_may_be_fatal(blocker, health) -> None:
    """When on_taken raises, the caller gets that error and nothing is left open."""

    def refuse(error: OSError) -> None:
        raise SystemExit(str(error))

    before = descriptors()
    with pytest.raises(SystemExit, match="in use"):
        open_endpoint(
            Port(number=blocker.getsockname()[1]),
            CollectorRegistry,
            health,
            open_page=page,
            on_open=lambda _: None,
            on_taken=refuse,
            on_error=lambda *_: None,
        )
    assert descriptors() == before
    assert endpoint_threads() == []


@pytest.mark.alone
def test_closing_while_retrying(serve, blocker) -> None:
    """An endpoint that still waits for its port is closed as fast as any."""
    served = serve(Port(number=blocker.getsockname()[1]), retry_seconds=60)
    start = time.monotonic()
    served.endpoint.close()
    assert time.monotonic() - start < 0.5
    assert endpoint_threads() == []


@pytest.mark.alone
def test_closing_during_a_scrape_that_hangs(serve, registry) -> None:
    """A collector that hangs delays closing for a bounded time, and does not keep the port."""
    reached, done = threading.Event(), threading.Event()

    class Hanging:
        def describe(self):
            return []

        def collect(self):
            reached.set()
            done.wait()
            return []

    registry.register(Hanging())
    served = serve()
    with served.connect() as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert reached.wait(8)
        start = time.monotonic()
        served.endpoint.close()
        assert time.monotonic() - start < 2
        with pytest.raises(ConnectionRefusedError):
            served.connect()
        done.set()
        endpoint_threads()[0].join(8)
    assert endpoint_threads() == []


def test_port_in_time_wait(serve) -> None:
    """Connections that linger from before do not keep a restarted worker from its port."""
    first = serve()
    with first.connect() as client:
        first.endpoint.close()  # the side that closes first is the one that lingers
        assert client.recv(1) == b""
    assert serve(Port(number=first.endpoint.port)).opened


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
def test_localhost_is_both_loopbacks(serve, host: str) -> None:
    """The name localhost listens on IPv4, and on IPv6 where there is any, under one number."""
    served = serve(Port(host=host, number=0))
    assert served.fetch().status == 200
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.bind((address, 0))
        except OSError:
            continue  # no such loopback here
        with socket.socket(family) as client:
            client.connect((address, served.endpoint.port))


def test_half_taken_localhost_is_taken(serve) -> None:
    """One loopback of localhost in other hands is a taken port, and the other one is not kept."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    with socket.socket(socket.AF_INET6) as other:
        try:
            other.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 loopback")
        other.listen()
        number = other.getsockname()[1]
        served = serve(Port(number=number), retry_seconds=60)
        assert len(served.taken) == 1
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", number), timeout=2)


@pytest.mark.parametrize(
    ("host", "url"), [("::1", "http://[::1]:"), ("127.0.0.1", "http://127.0.0.1:"), ("::", "http://[::]:")]
)
def test_literal_hosts(serve, host: str, url: str) -> None:
    """Addresses are taken as they are, and IPv6 stands in brackets in the url."""
    served = serve(Port(host=host, number=0), retry_seconds=60)
    if served.taken and ":" in host:
        pytest.skip("no IPv6")
    assert served.endpoint.url == f"{url}{served.endpoint.port}"
    with socket.create_connection((host, served.endpoint.port), timeout=2):
        pass


def test_unknown_host_is_retried(serve) -> None:
    """A host that cannot be resolved is reported as a port that cannot be bound."""
    served = serve(Port(host="host.invalid", number=0), retry_seconds=60)
    assert [isinstance(error, OSError) for error in served.taken] == [True]


def test_a_callback_that_raises_in_the_thread(health, blocker, eventually) -> None:
    """An on_open that raises in the endpoint's thread is reported, and the port served."""
    errors: list[tuple[str, type[Exception]]] = []

    def fail(_: int) -> None:
        raise ZeroDivisionError

    endpoint = open_endpoint(
        Port(number=blocker.getsockname()[1]),
        CollectorRegistry,
        health,
        open_page=page,
        on_open=fail,
        on_taken=lambda _: None,
        on_error=lambda where, error: errors.append((where, type(error))),
        retry_seconds=0.02,
    )
    blocker.close()
    eventually(lambda: errors)
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=2):
        pass
    endpoint.close()
    assert errors == [("serve", ZeroDivisionError)]


def test_closing_from_a_callback(health) -> None:
    """A scrape may close the endpoint that serves it."""
    ends: list[str] = []

    def closing() -> None:
        endpoint.close()
        ends.append("closed")

    health.ready = closing
    endpoint: Endpoint = open_endpoint(
        Port(number=0),
        CollectorRegistry,
        health,
        open_page=page,
        on_open=lambda _: None,
        on_taken=lambda _: None,
        on_error=lambda *_: None,
    )
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=8) as client:
        client.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
        client.recv(4096)
    for thread in endpoint_threads():
        thread.join(8)
    assert ends == ["closed"]


def test_importing_has_no_effect() -> None:
    """Importing the room starts no thread, opens nothing, registers nothing, and knows neither Celery nor OTel."""
    script = (
        "import os, sys, threading\n"
        "os.register_at_fork = None\n"
        "before = os.listdir('/proc/self/fd')\n"
        "import otel_celery.serve\n"
        "assert os.listdir('/proc/self/fd') == before\n"
        "assert threading.active_count() == 1\n"
        "assert not {'celery', 'opentelemetry', 'asyncio'} & set(sys.modules), 'knows too much'\n"
    )
    script = script.replace("os.register_at_fork = None\n", "import random, logging\nos.register_at_fork = None\n")
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path.cwd())


def test_what_renders_is_imported_after_a_moment_or_when_somebody_asks(script) -> None:
    """Opening the port imports neither h11, prometheus_client nor the registry; nobody has to scrape for it."""
    facts = script("""
import time
from otel_celery.serve import server
def imported(): return ["h11" in sys.modules, "otel_celery.serve.formats" in sys.modules]
opened = []
def open_registry():
    opened.append(1)
    return registry
def serve(late):
    server.LATE_SECONDS = late
    return server.open_endpoint(Port(number=0), open_registry, Health(), open_page=None,
        on_open=lambda number: None, on_taken=lambda error: None, on_error=lambda *error: print(error, file=sys.stderr))
endpoint = serve(600)
before = imported()
import urllib.request
text = urllib.request.urlopen(endpoint.url + "/metrics").read().decode()
asked, served = imported(), "orders_total 3.0" in text
endpoint.close()
endpoint = serve(0.01)
while len(opened) < 2: time.sleep(0.01)
endpoint.close()
tell(before=before, asked=asked, served=served, opened=len(opened))
""").hear()
    assert facts == {"before": [False, False], "asked": [True, True], "served": True, "opened": 2}


def test_a_registry_that_cannot_be_made_is_told_at_once(serve, eventually, monkeypatch) -> None:
    """Not only to whoever scrapes; health is answered all the same."""
    monkeypatch.setattr("otel_celery.serve.server.LATE_SECONDS", 0.01)

    def fail() -> None:
        raise ImportError("moved")

    served = serve(open_registry=fail)
    eventually(lambda: served.errors)
    assert [(where, str(error)) for where, error in served.errors] == [("serve", "moved")]
    assert served.fetch("/metrics").status == 500
    assert served.fetch("/-/healthy").status == 200
