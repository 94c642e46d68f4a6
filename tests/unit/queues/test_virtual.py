"""Other transports are asked through kombu: a length, no such queue, or an exception that is that queue's alone."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from kombu import Connection, Queue

from otel_celery.queues.broker import Broker
from otel_celery.queues.figures import Answer, Asked, Figures
from otel_celery.queues.virtual import VirtualAsker


def test_memory_tells_lengths() -> None:
    """A queue that was never declared does not exist."""
    with Connection("memory://") as connection, connection.channel() as channel:
        queue = Queue("memory.a", routing_key="memory.a")(channel)
        queue.declare()
        connection.Producer(channel).publish({}, routing_key="memory.a")
        broker = Broker(lambda **given: Connection("memory://", **given), 5.0, None, print)
        told = dict(broker.ask(Asked(["memory.a", "memory.nothing"]), time.monotonic() + 60))
        broker.close()
        queue.delete()
    assert told == {"memory.a": Figures(1), "memory.nothing": None}


def asked(driver: str, declare: Any) -> Answer:
    """Ask a made-up transport for one queue."""
    connection = SimpleNamespace(transport=SimpleNamespace(driver_type=driver))
    asker = VirtualAsker(connection, SimpleNamespace(queue_declare=declare), 5.0)
    ((_, answer),) = asker.ask(Asked(["a"]), time.monotonic() + 60)
    return answer


def test_a_length_that_is_none_is_not_shown() -> None:
    """Some transport or other says -1."""
    assert "does not tell" in str(asked("other", lambda **_: SimpleNamespace(message_count=-1)))


def test_whatever_a_transport_raises_is_its_queues_answer() -> None:
    """No exception of a library ends the refresh."""

    def fail(**_: object) -> None:
        raise FileNotFoundError("no folder")

    assert isinstance(asked("filesystem", fail), FileNotFoundError)


def test_a_refresh_ends_in_time() -> None:
    """What is not reached has no answer."""
    connection = SimpleNamespace(transport=SimpleNamespace(driver_type="memory"))
    assert list(VirtualAsker(connection, None, 5.0).ask(Asked(["a"]), time.monotonic() - 1)) == []
