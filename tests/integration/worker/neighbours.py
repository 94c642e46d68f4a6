"""Run as a script: two workers with processes live at once in this one; what their ports said is printed as JSON.

The first argument names the story, the others are the two ports. T_START_METHOD is that of both pools.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from celery import Celery
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import otel_celery
from tests.integration.worker.harness import Scrape
from tests.integration.worker.lives import await_, begin

if TYPE_CHECKING:
    from collections.abc import Callable

METHOD = os.environ.get("T_START_METHOD", "fork")
reader = InMemoryMetricReader()
MODULES = ["otel_celery.hook", "tests.integration.worker.beans"]


def make_app(name: str) -> Celery:
    """Make an app with a queue of its own, whose spawned children find us by an import."""
    app = Celery(
        name, broker=os.environ["T_BROKER"], backend=os.environ["T_BACKEND"], set_as_current=False, include=MODULES
    )
    app.conf.update(
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        task_default_queue=name,
        worker_pool_start_method=METHOD,
    )
    app.finalize()
    otel_celery.instrument(app)
    return app


def worker_of(app: Celery, port: int, **options: Any) -> Any:
    """Make a worker with processes; all have the same node name, as those of ``start_worker`` have."""
    os.environ["PROMETHEUS_PORT"] = str(port)
    quiet = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}
    return app.WorkController(app=app, hostname="w@h", **{"pool": "prefork", "concurrency": 2, **quiet, **options})


class Pair:
    """Two workers that have begun, each with an app, a queue and a port of its own."""

    def __init__(self, ports: list[int], *options: dict[str, Any]) -> None:
        """Begin both, the one after the other."""
        self.ports = ports
        self.apps = [make_app(name) for name in ("one", "two")]
        self.workers = [
            worker_of(app, port, **each) for app, port, each in zip(self.apps, ports, options or ({}, {}), strict=True)
        ]
        self.threads: list[threading.Thread] = [begin(worker) for worker in self.workers]

    def give(self, which: int, task: str, *arguments: float, times: int = 1) -> list[int]:
        """Run a task of one's, so many times, and give the process ids of the children that ran it."""
        results = [self.apps[which].send_task(f"beans.{task}", arguments) for _ in range(times)]
        return [result.get(timeout=60, disable_sync_subtasks=False) for result in results]

    def shown(self, name: str, *values: float | None) -> list[float | None]:
        """Wait until the ports show these values of a metric; give what they show."""
        await_(lambda: [value(port, name) for port in self.ports] == list(values), 10)
        return [value(port, name) for port in self.ports]

    def end(self, which: int) -> None:
        """Stop one, and wait for it."""
        self.workers[which].stop()
        self.threads[which].join(30)


def value(port: int, name: str) -> float | None:
    """Give what a port shows of a metric; None where there is no port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return Scrape(answer.read().decode()).value(name)
    except urllib.error.URLError:
        return None


def read(name: str) -> float:
    """Give what the application's own reader sees of a counter."""
    data = reader.get_metrics_data()
    scopes = data.resource_metrics[0].scope_metrics if data is not None and data.resource_metrics else ()
    points: list[Any] = [
        point for scope in scopes for each in scope.metrics if each.name == name for point in each.data.data_points
    ]
    return float(sum(point.value for point in points))


def at_once(ports: list[int], first_to_end: int) -> Any:
    """Both run tasks, also in new children, and the one after the other has ended."""
    pair = Pair(ports, *[{"max_tasks_per_child": 2}] * 2)
    told: list[Any] = []
    for which, times in enumerate((3, 5)):
        pair.give(which, "count", 1, times=times)
    told.append([pair.shown("beans_total", 3, 5), pair.shown("peas_total", 3, 5)])
    for which, times in enumerate((7, 11)):  # by now each child has taken another's place
        pair.give(which, "count", 1, times=times)
    told.append([pair.shown("beans_total", 10, 16), pair.shown("peas_total", 10, 16)])
    pair.give(0, "fork", 100)
    told.append(pair.shown("beans_total", 110, 16))
    pair.end(first_to_end)
    other = 1 - first_to_end
    pair.give(other, "count", 1, times=9)
    told.append(pair.shown("beans_total", *((None, 25) if other else (119, None))))
    pair.end(other)
    return {"told": told, "relay": os.environ.get("_OTEL_CELERY_RELAY")}


def a_provider_set_late(ports: list[int]) -> Any:
    """Set one when the second worker has ended; new children of the first are heard by its reader."""
    pair = Pair(ports, *[{"max_tasks_per_child": 1, "concurrency": 1}] * 2)
    pair.give(1, "count", 1)
    pair.end(1)
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    pair.give(0, "count", 1, times=6)
    told = pair.shown("beans_total", 6, None)
    await_(lambda: read("beans") == 6, 5)
    pair.end(0)
    return {"told": told, "read": read("beans")}


def a_provider_of_both(ports: list[int]) -> Any:
    """Set one before there is any worker: whoever reads it reads all of it, and its own reader does so to the end."""
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    pair = Pair(ports, *[{"concurrency": 1}] * 2)
    pair.give(0, "count", 1, times=3)
    pair.give(1, "count", 1, times=5)
    told = [pair.shown("beans_total", 8, 8)]
    pair.end(0)
    pair.give(1, "count", 1, times=2)
    told.append(pair.shown("beans_total", None, 10))
    pair.end(1)
    return {"told": told, "read": read("beans")}


def threads_beside(ports: list[int]) -> Any:
    """Have the second run its tasks in threads, and so in this process, beside children that are forked here."""
    pair = Pair(ports, {"concurrency": 1, "max_tasks_per_child": 1}, {"pool": "threads"})
    pair.apps[1].set_default()  # which is where a pool's threads look for theirs
    pair.give(1, "count", 1, times=5)
    pair.give(0, "count", 1, times=3)
    told = [pair.shown("beans_total", 3, 5), pair.shown("peas_total", 3, 5)]
    pair.end(1)
    pair.give(0, "count", 1, times=3)
    told.append(pair.shown("beans_total", 6, None))
    pair.end(0)
    return {"told": told}


def others_start_children(ports: list[int]) -> Any:
    """Children that another thread adds, as the autoscaler does, are their worker's.

    Those of a worker that is uninstrumented are nobody's, though its neighbour has metrics.
    """
    pair = Pair(ports, *[{"concurrency": 1, "max_tasks_per_child": 1}] * 2)
    for worker in pair.workers:
        thread = threading.Thread(target=worker.pool.grow, args=(1,))
        thread.start()
        thread.join()
    pair.give(0, "hold", 2, 1.0, times=2)
    told = [pair.shown("stock", 4, 0)]
    otel_celery.instrument(pair.apps[1]).uninstrument()
    pair.give(1, "count", 500, times=3)
    pair.give(0, "count", 1, times=3)
    told.append(pair.shown("beans_total", 3, None))
    pair.end(1)
    pair.end(0)
    return {"told": told}


STORIES: dict[str, Callable[[list[int]], Any]] = {
    "the first ends first": lambda ports: at_once(ports, 0),
    "the second ends first": lambda ports: at_once(ports, 1),
    "a provider set late": a_provider_set_late,
    "a provider of both": a_provider_of_both,
    "threads beside": threads_beside,
    "others start children": others_start_children,
}

if __name__ == "__main__":
    print(json.dumps(STORIES[sys.argv[1]]([int(port) for port in sys.argv[2:]])), flush=True)  # noqa: T201
    # Celery has the kernel kill a child with the thread that forked it, and billiard's Supervisor ends with its pool. A
    # child that is killed while it reads holds its queue's lock for ever, which billiard's finaliser waits for.
    os._exit(0)
