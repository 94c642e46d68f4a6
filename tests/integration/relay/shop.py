"""The app under test: tasks that record with plain OpenTelemetry, as any application does.

T_PROVIDER says whether the application has an SDK provider of its own: empty (none), ``import`` or ``child`` (set in
each pool child). The record file is the truth: one line for each thing that was really recorded.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from functools import partial
from typing import Any

from celery import Celery, signals
from opentelemetry import metrics
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader

from otel_celery.relay.wire import address
from otel_celery.relay.wire.address import VARIABLE
from tests.integration.worker.answers import write
from tests.integration.worker.proj import note

env = os.environ.get
app = Celery("shop", broker=env("T_BROKER", "memory://"), backend=env("T_BACKEND") or None)
app.conf.update(
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    worker_lost_wait=1.0,
)
if env("T_FILE"):  # as where there is no abstract namespace
    address.listen = partial(address.listen, abstract=False)
if env("T_START_METHOD"):
    app.conf.worker_pool_start_method = env("T_START_METHOD")
    app.conf.worker_proc_alive_timeout = 60.0  # Celery kills a child that is slower, and all of them import at once

memory = InMemoryMetricReader()


def set_provider(*readers: MetricReader) -> None:
    """Set the application's own provider."""
    metrics.set_meter_provider(MeterProvider(readers, shutdown_on_exit=False))


if env("T_PROVIDER") == "import":
    set_provider(memory)

meter = metrics.get_meter("shop", "1.0")
orders = meter.create_counter("shop.orders", "{order}", "Orders taken.")
stock = meter.create_up_down_counter("shop.stock", "{item}", "Items under way.")
price = meter.create_gauge("shop.price", "{coin}", "The last price.")
weight = meter.create_histogram("shop.weight", "kg", "Weights.", explicit_bucket_boundaries_advisory=[1.0, 10.0])
meter.create_observable_gauge("shop.open", [lambda _: [Observation(os.getpid())]])


@signals.worker_process_init.connect
def _in_child(**_: Any) -> None:
    if env("T_PROVIDER") == "child":
        set_provider(memory)


@signals.worker_ready.connect
def _on_ready(**_: Any) -> None:
    if env("T_SEEN"):
        threading.Thread(target=_answer, daemon=True).start()


@signals.worker_shutdown.connect
def _on_shutdown(**_: Any) -> None:
    """Say what the port would show last, before it closes."""
    if env("T_LAST"):
        from otel_celery import worker

        hooked: Any = next(iter(next(iter(worker._handles.values())).sessions))
        hooked._outlets.relay.close()
        print(f"last orders {hooked._recording.registry.get_sample_value('shop_orders_total', {'shop': 'a'}):.0f}")  # noqa: T201


def _answer() -> None:
    """Write down what the application's own reader of the main process sees, again and again."""
    while True:
        data = memory.get_metrics_data()
        write(
            os.environ["T_SEEN"],
            [
                [metric.name, dict(point.attributes or {}), getattr(point, "value", None)]
                for resource in (data.resource_metrics if data else ())
                for scope in resource.scope_metrics
                for metric in scope.metrics
                if metric.name.startswith("shop.")
                for point in metric.data.data_points
            ],
        )
        time.sleep(0.1)


@app.task(name="shop.sell")
def sell(number=1, shop="a", seconds=0.0):
    """Take orders, with an instrument that was made at import."""
    for _ in range(number):
        orders.add(1, {"shop": shop})
        note("order", shop)
        if seconds:
            time.sleep(seconds)
    return os.getpid()


@app.task(name="shop.everything")
def everything(value):
    """Record with every kind of instrument; those of ``late`` are made in the task."""
    late = metrics.get_meter("late")
    orders.add(1, {"shop": "b"})
    late.create_counter("late.calls").add(2)
    stock.add(3)
    stock.add(-1)
    late.create_up_down_counter("late.stock").add(-value)
    price.set(value, {"shop": "b"})
    late.create_gauge("late.price").set(value)
    weight.record(value)
    late.create_histogram("late.weight").record(value)
    late.create_observable_counter("late.seen", [lambda _: [Observation(7)]])
    late.create_observable_up_down_counter("late.held", [lambda _: [Observation(5)]])
    late.create_observable_gauge("late.heat", [lambda _: [Observation(40)]])
    return os.getpid()


@app.task(name="shop.quote")
def quote(value, seconds=0.0):
    """Record with each kind of synchronous instrument, and stay for a while."""
    orders.add(1)
    stock.add(1)
    price.set(value)
    weight.record(value)
    time.sleep(seconds)


@app.task(name="shop.timed")
def timed(number, seconds):
    """Take orders, and write down who took each, and when."""
    for _ in range(number):
        orders.add(1, {"shop": "t"})
        note("order", f"{os.getpid()} {time.time()}")
        time.sleep(seconds)


@app.task(name="shop.flood")
def flood(rounds, series):
    """Record more label sets than a socket takes, again and again, and write down how long each round took."""
    counter = meter.create_counter("shop.flood")
    for number in range(rounds):
        begun = time.monotonic()
        for each in range(series):
            counter.add(1, {"each": f"{each:0100}"})
        note("pace", f"{number} {time.monotonic() - begun}")
        note("order", str(number))
        time.sleep(0.02)


@app.task(name="shop.helpers")
def helpers(number, release):
    """Fork helpers that record once each, and live until there is such a file; they end without a goodbye."""
    pids = []
    for _ in range(number):
        pid = os.fork()
        if pid == 0:
            orders.add(1, {"shop": "helper"})
            stock.add(1)
            _wait_for(release)
            orders.add(1, {"shop": "released"})
            time.sleep(1)
            os._exit(0)
        pids.append(pid)
    return pids


def _wait_for(path: str) -> None:
    while not os.path.exists(path):  # noqa: PTH110  as little as can be, in so many processes
        time.sleep(0.1)


@app.task(name="shop.hold")
def hold(seconds):
    """Hold an item for a while."""
    stock.add(1)
    if seconds > 1:
        note("holds", str(os.getpid()))
    time.sleep(seconds)
    stock.add(-1)


@app.task(name="shop.nothing")
def nothing():
    """Record nothing, and tell which threads there are."""
    return [thread.name for thread in threading.enumerate()]


@app.task(name="shop.mistakes")
def mistakes():
    """Record what cannot be recorded, and what a scrape could trip over."""
    caught = []
    for value in ("x", None, float("nan"), float("inf"), -1):
        try:
            orders.add(value, {"shop": "wrong"})  # type: ignore[arg-type]
        except TypeError:
            caught.append(repr(value))
    orders.add(1, {"shop": '\udce9t\xe9\n"quoted"', "long": "x" * 10_000, "list": ["a", "b"], "true": True})
    orders.add(1, "no mapping")  # type: ignore[arg-type]
    metrics.get_meter("rude").create_counter("celery.tasks", "{task}").add(5, {"status": "success"})
    metrics.get_meter("rude").create_gauge("celery.worker.up").set(5)
    metrics.get_meter("one").create_counter("twice").add(1, {"from": "one"})
    metrics.get_meter("two").create_counter("twice").add(1, {"by": "two"})
    metrics.get_meter("three").create_counter("twice").add(1, {"from": "one"})
    metrics.get_meter("four").create_gauge("twice.total").set(9)
    return caught


@app.task(name="shop.variable")
def variable():
    """Tell what a spawned child would be told."""
    return env(VARIABLE)


@app.task(name="shop.many")
def many(begin, number):
    """Record with more label sets than anybody should."""
    counter = meter.create_counter("shop.many")
    for each in range(begin, begin + number):
        counter.add(1, {"each": each})


def _sell_in_fork(number: int) -> None:
    orders.add(number, {"shop": "fork"})
    time.sleep(0.6)


@app.task(name="shop.fork")
def fork(number):
    """Record, and record in a fork of the child."""
    orders.add(1, {"shop": "fork"})
    pid = os.fork()
    if pid == 0:
        _sell_in_fork(number)
        os._exit(0)
    os.waitpid(pid, 0)
    process = multiprocessing.get_context("fork").Process(target=_sell_in_fork, args=(number,))
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    process.start()
    process.join()
    orders.add(1, {"shop": "fork"})
