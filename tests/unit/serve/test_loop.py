"""Clients that are slow, silent or many."""

from __future__ import annotations

import resource
import socket
import time
import tracemalloc

import pytest
from prometheus_client.core import GaugeMetricFamily

from otel_celery.serve.connection import PATIENCE, Phase
from otel_celery.serve.loop import MAX_CONNECTIONS, connection_limit

SIZE = 5_000_000

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Large:
    """A collector with five megabytes to say."""

    def collect(self):
        """Say them."""
        return [GaugeMetricFamily("large", "x" * SIZE, value=1)]


@pytest.fixture
def crowd(served):
    """Open many connections at once, and close them when the test is over."""
    clients: list[socket.socket] = []

    def come(count: int, words: bytes, *, deaf: bool = False) -> list[socket.socket]:
        for _ in range(count):
            client = socket.socket()
            if deaf:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(8)
            client.connect(served.address)
            client.sendall(words)
            clients.append(client)
        return clients

    yield come
    for client in clients:
        client.close()


def is_closed(client: socket.socket) -> bool:
    """Tell whether the endpoint has closed this connection."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def scrape_time(served) -> float:
    """Return the seconds that one proper scrape of a health path takes."""
    start = time.monotonic()
    assert served.fetch("/-/ready").status == 200
    return time.monotonic() - start


@pytest.mark.alone
def test_readers_that_never_read(served, crowd, registry, eventually) -> None:
    """A hundred clients that never read their five megabytes share one body, and others are served."""
    registry.register(Large())
    tracemalloc.start()
    try:
        crowd(100, REQUEST, deaf=True)
        assert scrape_time(served) < 2
        eventually(lambda: scrape_time(served) < 0.2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * SIZE


def test_reader_that_never_reads_is_put_out(crowd, registry, monkeypatch) -> None:
    """A response that is not taken in time ends the connection."""
    registry.register(Large())
    monkeypatch.setitem(PATIENCE, Phase.WRITING, 0.2)
    (client,) = crowd(1, REQUEST, deaf=True)
    time.sleep(0.3)  # the client's own patience: reading earlier would be taking the response
    client.settimeout(8)
    heard: list[bytes] = []
    with pytest.raises(ConnectionResetError):
        heard.extend(iter(lambda: client.recv(65536), b""))
    assert sum(map(len, heard)) < SIZE


def test_slow_reader_gets_everything(served, crowd, registry) -> None:
    """A client that reads in small bites gets the whole body, byte for byte."""
    registry.register(Large())
    (client,) = crowd(1, REQUEST[:-2] + b"Connection: close\r\n\r\n", deaf=True)
    heard = bytearray()
    while piece := client.recv(20_000):
        heard += piece
    head, _, body = bytes(heard).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    assert body == served.fetch().body


@pytest.mark.alone
def test_half_requests_give_way(served, crowd) -> None:
    """Of two hundred half requests the oldest give way, and a proper scrape is fast."""
    clients = crowd(200, REQUEST[:-2])
    assert scrape_time(served) < 1
    assert sum(map(is_closed, clients)) >= 200 - MAX_CONNECTIONS
    assert is_closed(clients[0])
    assert not is_closed(clients[-1])


def test_idle_ones_give_way_first(crowd, eventually) -> None:
    """Those kept alive between requests go before those in the middle of one."""
    half = crowd(1, REQUEST[:-2])[0]
    idle = crowd(1, REQUEST)[1]
    assert idle.recv(65536).startswith(b"HTTP/1.1 200")
    crowd(MAX_CONNECTIONS - 1, REQUEST[:-2])
    eventually(lambda: is_closed(idle))
    assert not is_closed(half)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("phase", "words"), [(Phase.HEAD, b""), (Phase.HEAD, REQUEST[:-2]), (Phase.HEAD, b"GET"), (Phase.IDLE, REQUEST)]
)
def test_deadlines(served, monkeypatch, phase: Phase, words: bytes) -> None:
    """Who says nothing, half a request, or nothing more, is put out when its time is over."""
    monkeypatch.setitem(PATIENCE, phase, 0.1)
    start = time.monotonic()
    served.say(words)
    assert 0.1 <= time.monotonic() - start < 2


@pytest.mark.alone
def test_half_a_request_does_not_buy_time(served, monkeypatch) -> None:
    """A client that sends a byte now and then has no more time than any other."""
    monkeypatch.setitem(PATIENCE, Phase.HEAD, 0.3)
    start = time.monotonic()
    with served.connect() as client:
        while not is_closed(client) and time.monotonic() - start < 5:
            client.setblocking(True)
            client.sendall(b"G")
            time.sleep(0.02)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(("soft", "expected"), [(64, 16), (8, 4), (4096, MAX_CONNECTIONS)])
def test_limit_follows_the_descriptors(soft: int, expected: int) -> None:
    """The connections may have a quarter of the descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        assert connection_limit() == expected
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


OUT_OF_DESCRIPTORS = """
import resource, time
endpoint = start()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
tell(port=endpoint.port)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
tell()
sys.stdin.readline()
before = time.process_time()
time.sleep(0.6)
spent = time.process_time() - before
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
tell(spent=spent)
sys.stdin.readline()
"""


def test_no_descriptor_left(script) -> None:
    """Without descriptors the loop neither spins nor ends, and serves who waited once there are some."""
    worker = script(OUT_OF_DESCRIPTORS)
    port = worker.hear()["port"]
    worker.tell()
    worker.hear()
    with socket.create_connection(("127.0.0.1", port), timeout=8) as client:
        client.sendall(REQUEST)
        worker.tell()
        assert worker.hear()["spent"] < 0.2
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
