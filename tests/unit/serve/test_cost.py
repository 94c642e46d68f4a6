"""What one client, without credentials, can take from the thread that hands out tasks."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from otel_celery.forks import gate
from otel_celery.serve.answer import sentence
from otel_celery.serve.connection import Connection
from otel_celery.serve.listeners import listen
from otel_celery.serve.loop import REST, Loop
from otel_celery.serve.protocol import Conversation
from otel_celery.serve.wires import PlainWire
from tests.benchmarks.clients import WORDS, clients

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.serve.conftest import Served

SECONDS = 1.0
MARGIN = 0.1


def cpu_share(served: Served, kind: str) -> float:
    """Measure the CPU time of the port's thread, a second of time, while one kind of clients asks."""
    clock = time.pthread_getcpuclockid(served.endpoint._thread.ident)  # type: ignore[arg-type]  # it was started
    with clients(kind, served.endpoint.port):
        begun, at = time.clock_gettime(clock), time.monotonic()
        time.sleep(SECONDS)
        return (time.clock_gettime(clock) - begun) / (time.monotonic() - at)


@pytest.mark.parametrize("kind", ["scrapers", *WORDS])
def test_a_client_that_does_its_worst_takes_a_third_of_a_core(served: Served, kind: str) -> None:
    """As do twenty that scrape: chunks, pipelines, thousands of headers or one request after the other are no more.

    A machine that is busy with other things can only make it less.
    """
    assert cpu_share(served, kind) < 1 / (1 + REST) + MARGIN
    assert served.fetch().status == 200


@pytest.mark.alone
@pytest.mark.parametrize("kind", WORDS)
def test_one_client_costs_no_more_than_twenty_that_scrape(served: Served, kind: str) -> None:
    """Measured one after the other, up to three times: the machine may be busy in between."""
    pairs = ((cpu_share(served, kind), cpu_share(served, "scrapers")) for _ in range(3))
    assert any(one <= twenty + MARGIN for one, twenty in pairs)


def test_the_loop_rests_after_it_has_worked() -> None:
    """Twice as long as a turn took, outside of the gate that holds off forks, and never for long."""
    worked = 0.004
    loop = Loop(gate(), _burn(worked), lambda *_: None, 4)
    (listener,) = listeners = listen([(socket.AF_INET, "127.0.0.1")], 0)
    loop.listen(listeners)
    with socket.create_connection(listener.getsockname()):
        begun = time.monotonic()
        loop.turn()
        assert time.monotonic() - begun >= (1 + REST) * worked
    loop.close()


def _burn(seconds: float) -> Callable[[socket.socket], Connection]:
    def welcome(sock: socket.socket) -> Connection:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        return Connection(sock, PlainWire(), Conversation(lambda *_: sentence(200, "x")))

    return welcome
