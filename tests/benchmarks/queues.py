"""How long a refresh of the queue exporter takes, for 10, 100 and 1 000 queues on Redis and RabbitMQ.

Each queue holds one message, with the header that tells its age. A real broker of the machine is asked over the
loopback; the first refresh, which also connects, is left out.

With the path of a checkout of danihodovic/celery-exporter, and a Python that has what that needs, each row is followed
by how long its scrape takes for the same queues: it asks the broker while Prometheus waits.

    python -m tests.benchmarks.queues --rounds 9 --peer ../celery-exporter --peer-python ../peer/bin/python
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from kombu import Connection, Queue

from otel_celery.lifecycle import SENT_HEADER
from otel_celery.queues.broker import Broker
from otel_celery.queues.figures import Asked, Figures
from tests import rabbitmq
from tests.benchmarks.rig import table
from tests.services import LOOPBACK, _accepts, _child, free_port, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZES = (10, 100, 1_000)
LONGEST = 60.0


@dataclass(frozen=True)
class Peer:
    """A celery-exporter that can be started."""

    checkout: Path
    python: str

    def times(self, url: str, names: Sequence[str], rounds: int) -> list[float]:
        """Start it for these queues, and time its scrapes."""
        port = free_port()
        command = [self.python, "cli.py", "--broker-url", url, "--host", LOOPBACK, "--port", str(port)]
        command += ["--queues", ",".join(names), "--log-level", "ERROR"]
        environ = {**os.environ, "PYTHONPATH": str(self.checkout)}
        with tempfile.TemporaryDirectory() as directory:
            command[1] = str(self.checkout / command[1])
            with _child(command, Path(directory, "peer.out"), environ, lambda: _accepts(port)):
                return [_scraped(port, len(names)) for _ in range(rounds + 1)][1:]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peer", type=Path, help="a checkout of danihodovic/celery-exporter")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python that has what the peer needs")
    arguments = parser.parse_args()
    peer = Peer(arguments.peer.resolve(), arguments.peer_python) if arguments.peer else None
    rows: list[list[str]] = []
    with redis_server() as url:
        rows += _measured("Redis", url, arguments.rounds, peer)
    if shutil.which(rabbitmq.SERVER):
        with rabbitmq.node() as node:
            rows += _measured("RabbitMQ", node.url, arguments.rounds, peer)
    print(table(["broker", *(f"{size} queues" for size in SIZES)], rows))


def _measured(broker: str, url: str, rounds: int, peer: Peer | None) -> Iterator[list[str]]:
    queues = {size: [f"queue{number}" for number in range(size)] for size in SIZES}
    for names in queues.values():
        _fill(url, names)
    yield [broker, *(_shown(_times(url, names, rounds)) for names in queues.values())]
    if peer is not None:
        yield [f"{broker}, celery-exporter", *(_shown(peer.times(url, names, rounds)) for names in queues.values())]


def _shown(times: Sequence[float]) -> str:
    return f"{median(times) * 1000:.1f} ms"


def _times(url: str, names: Sequence[str], rounds: int) -> list[float]:
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


def _scraped(port: int, size: int) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=LONGEST) as answer:
        body = answer.read().decode()
    took = time.perf_counter() - began
    told = body.count('celery_queue_length{queue_name="queue')
    if told != size:
        raise SystemExit(f"celery-exporter told {told} of {size} queues")
    return took


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
