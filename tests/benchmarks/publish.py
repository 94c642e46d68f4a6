"""What a message costs its publisher: without us, with the header alone, and with each way to record.

What is ours is measured with nothing behind it, since a whole message takes far longer, and varies by more than all of
it. Each figure is the fastest of many rounds, in CPU time of the thread. The bytes are a message's in Redis.

    python -m tests.benchmarks.publish
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from otel_celery.catalogue import SCOPE
from otel_celery.publish.front import NAME, Front
from otel_celery.publishing import NOBODY, PlainPublisher
from otel_celery.record.meter_sink import MeterSink
from otel_celery.record.publishes import Publishes
from otel_celery.record.registry_sink import registry_sink
from otel_celery.settings.settings import Bounds, Settings
from tests.benchmarks.rig import table
from tests.services import redis_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.observers import PublishObserver

TARGET_MICROSECONDS = 10
TARGET_BYTES = 40


def observers() -> dict[str, PublishObserver]:
    """Make what an app reports to."""
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    settings = Settings()
    return {
        "the header, and nobody counts": NOBODY,
        "the header, and a MeterProvider": Publishes(MeterSink(provider.get_meter(SCOPE), settings.buckets), Bounds()),
        "the header, and a registry": Publishes(registry_sink(CollectorRegistry(), settings.buckets), Bounds()),
    }


def fastest(publish: Callable[[], object], rounds: int, messages: int) -> float:
    """Publish in rounds, and tell the microseconds a message of the fastest."""
    took = []
    for _ in range(rounds):
        begun = time.thread_time()
        for _ in range(messages):
            publish()
        took.append(time.thread_time() - begun)
    return min(took) / messages * 1e6


def sender(observer: PublishObserver | None) -> Callable[[], object]:
    """Make a function that publishes, with nothing behind it; None leaves it alone."""
    app = Celery("shop", broker="memory://", set_as_current=False)
    queue, message = app.amqp.queues["orders"], app.amqp.as_task_v2("1", "shop.order")
    vars(app.amqp)[NAME] = _send
    if observer is not None:
        front = Front(app, observer, has_header=True)
        front.install()
    send = vars(app.amqp)[NAME]
    return lambda: send(None, "shop.order", message, queue=queue, retry=True)


def _send(*_: Any, **__: Any) -> None:
    """Send nothing."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each way (default: 40)")
    parser.add_argument("--messages", type=int, default=500, help="messages a round (default: 500)")
    options = parser.parse_args()
    with redis_server() as url, redis.Redis.from_url(url) as server:
        app = Celery("shop", broker=url, set_as_current=False)
        whole = fastest(lambda: app.send_task("shop.order"), options.rounds, options.messages // 10 or 1)
        bare = len(server.lindex("celery", 0) or b"")
        front = Front(app, PlainPublisher("shop"), has_header=True)
        front.install()
        app.send_task("shop.order")
        more = len(server.lindex("celery", 0) or b"") - bare
    nothing = fastest(sender(None), options.rounds, options.messages)
    cost = {
        name: fastest(sender(each), options.rounds, options.messages) - nothing for name, each in observers().items()
    }
    rows = [["a message without us", f"{whole:.1f}"], *([name, f"+ {number:.1f}"] for name, number in cost.items())]
    print(table(["publisher", f"us a message (header: <= {TARGET_MICROSECONDS})"], rows))
    print(f"a message has {more} bytes more (<= {TARGET_BYTES})")


if __name__ == "__main__":
    main()
