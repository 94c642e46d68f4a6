"""How long a refresh of the queue exporter takes, for 10, 100 and 1 000 queues on Redis and RabbitMQ.

Each queue holds one message, with the header that tells its age. A real broker of the machine is asked over the
loopback; the first refresh, which also connects, is left out.

    python -m tests.benchmarks.queues --rounds 9
"""

from __future__ import annotations

import argparse
import shutil
import time
from statistics import median
from typing import TYPE_CHECKING

from kombu import Connection, Queue

from otel_celery.lifecycle import SENT_HEADER
from otel_celery.queues.broker import Broker
from otel_celery.queues.figures import Asked, Figures
from tests import rabbitmq
from tests.benchmarks.rig import table
from tests.services import redis_server

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (10, 100, 1_000)
LONGEST = 60.0


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    rows = []
    with redis_server() as url:
        rows.append(["Redis", *_measured(url, rounds)])
    if shutil.which(rabbitmq.SERVER):
        with rabbitmq.node() as node:
            rows.append(["RabbitMQ", *_measured(node.url, rounds)])
    print(table(["broker", *(f"{size} queues" for size in SIZES)], rows))


def _measured(url: str, rounds: int) -> list[str]:
    return [f"{median(_times(url, size, rounds)) * 1000:.1f} ms" for size in SIZES]


def _times(url: str, size: int, rounds: int) -> list[float]:
    names = [f"queue{number}" for number in range(size)]
    _fill(url, names)
    broker = Broker(lambda **given: Connection(url, **given), LONGEST, None, print)
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        answers = dict(broker.ask(Asked(names), time.monotonic() + LONGEST))
        times.append(time.perf_counter() - began)
        if not all(isinstance(answers[name], Figures) for name in names):
            raise SystemExit(f"not every queue was told: {answers}")
    broker.close()
    return times[1:]


def _fill(url: str, names: Sequence[str]) -> None:
    with Connection(url) as connection, connection.channel() as channel:
        producer = connection.Producer(channel)
        for name in names:
            queue = Queue(name, routing_key=name)(channel)
            queue.declare()
            queue.purge()
            producer.publish("{}", routing_key=name, headers={SENT_HEADER: time.time()})


if __name__ == "__main__":
    main()
