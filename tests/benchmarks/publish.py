"""What a message costs its publisher: without us, with the header alone, and with each way to record.

Each app publishes in rounds, one after the other, so that a busy moment of the machine touches all of them. The
figure is the median of the rounds, in CPU time of the thread. The bytes are those of the message in Redis.

    python -m tests.benchmarks.publish
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median
from typing import TYPE_CHECKING

import redis
from celery import Celery
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from otel_celery.catalogue import SCOPE
from otel_celery.publish.front import Front
from otel_celery.publishing import NOBODY, for_app
from otel_celery.record.meter_sink import MeterSink
from otel_celery.record.publishes import Publishes
from otel_celery.record.registry_sink import registry_sink
from otel_celery.settings.settings import Bounds, Settings
from tests.benchmarks.rig import table
from tests.services import redis_server

if TYPE_CHECKING:
    from otel_celery.lifecycle import PublishObserver

TARGET_MICROSECONDS = 10.0
TARGET_BYTES = 40
HEADER = "the header alone"


def observers() -> dict[str, PublishObserver | None]:
    """Make what each app reports to; None leaves the app alone."""
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    settings = Settings()
    return {
        "bare": None,
        HEADER: NOBODY,
        "a MeterProvider": Publishes(MeterSink(provider.get_meter(SCOPE), settings.buckets), Bounds()),
        "a registry": Publishes(registry_sink(CollectorRegistry(), settings.buckets), Bounds()),
    }


def made(url: str, queue: str, observer: PublishObserver | None) -> tuple[Celery, Front | None]:
    """Make an app with a queue of its own."""
    app = Celery("shop", broker=url, set_as_current=False)
    app.conf.task_default_queue = queue
    if observer is None:
        return app, None
    front = Front(app, observer, has_header=True)
    front.install()
    return app, front


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each app (default: 40)")
    parser.add_argument("--messages", type=int, default=200, help="messages a round (default: 200)")
    options = parser.parse_args()
    with redis_server() as url, redis.Redis.from_url(url) as server:
        apps = {name: made(url, f"q{index}", each) for index, (name, each) in enumerate(observers().items())}
        instrumented = Celery("all", broker=url, set_as_current=False)
        apps["instrument(app), nothing asked for"] = instrumented, None
        publishing = for_app(instrumented, os.environ)
        took: dict[str, list[float]] = {name: [] for name in apps}
        for number in range(options.rounds + 1):
            for name, (app, _) in apps.items():
                begun = time.thread_time()
                for _ in range(options.messages):
                    app.send_task("shop.order")
                if number:  # the first round connects
                    took[name].append((time.thread_time() - begun) / options.messages * 1e6)
        bare, stamped = (len(server.lindex(queue, 0) or b"") for queue in ("q0", "q1"))
    del publishing
    cost = {name: median(rounds) for name, rounds in took.items()}
    rows = [[name, f"{cost[name]:.1f}", f"{cost[name] - cost['bare']:+.1f}"] for name in cost]
    print(table(["publisher", "us a message", f"more (header: <= {TARGET_MICROSECONDS:g})"], rows))
    print(f"a message with the header has {stamped - bare} bytes more (<= {TARGET_BYTES})")


if __name__ == "__main__":
    main()
