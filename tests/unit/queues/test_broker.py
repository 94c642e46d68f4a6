"""The connection to a broker: what a forked child keeps of it, and the limits that its waits have."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest
from kombu import Connection

from otel_celery.queues.broker import Broker, limits
from otel_celery.queues.figures import Asked
from tests.services import LOOPBACK, free_port

AMQP_HEADER = b"AMQP"


def connected_to(port: int) -> int:
    """Count this process's sockets that are connected to a port of the loopback."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            if not str(link.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(link.name))) as copy:
                count += copy.family == socket.AF_INET and copy.getpeername()[1] == port
        except OSError:
            continue
    return count


@pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning")  # eventlet's, where another test has imported it
@pytest.mark.parametrize("failing", [0, 1], ids=["the first URL", "the URL after one that refuses"])
def test_a_child_that_is_forked_while_the_connection_is_opened_keeps_nothing_of_it(failing: int) -> None:
    """Kombu knows the connection only once it is open; a copy would keep the broker from seeing its end."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        listening.settimeout(30)
        port = listening.getsockname()[1]
        url = ";".join(f"amqp://{LOOPBACK}:{number}//" for number in (*(free_port() for _ in range(failing)), port))
        raised: list[BaseException] = []

        def ask() -> None:
            try:
                list(broker.ask(Asked(["a"]), time.monotonic() + 60))
            except Exception as error:  # noqa: BLE001  whatever py-amqp makes of a broker that hangs up
                raised.append(error)

        broker = Broker(lambda **given: Connection(url, **given), 30.0, None, print)
        thread = threading.Thread(target=ask)
        thread.start()
        peer, _ = listening.accept()
        listening.close()  # so that a second try is refused at once
        with peer:
            peer.settimeout(30)
            assert peer.recv(8)[:4] == AMQP_HEADER  # it waits for an answer now
            assert connected_to(port) == 1
            child = os.fork()
            if not child:
                os._exit(connected_to(port))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert connected_to(port) == 1  # the parent's own is as it was
        thread.join(60)
    assert raised
    assert connected_to(port) == 0


def test_a_wait_has_a_limit_beside_the_options_of_the_application() -> None:
    """What the application says of SQS's client stays, but for the waits."""
    own = {"client-config": {"proxies": {"http": "proxy:3128"}, "read_timeout": 600}}
    (config,) = limits("sqs", 2.5, own).values()
    assert (config["proxies"], config["read_timeout"]) == ({"http": "proxy:3128"}, 2.5)
    assert own["client-config"]["read_timeout"] == 600
    assert limits("kafka", 2.5, {}) == {"wait_time_seconds": 2.5}
    assert limits("filesystem", 2.5, {}) == {}
