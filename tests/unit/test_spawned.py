"""A process takes part in the relay as a spawned child only if an instrumented main process has spawned it."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, Any

from celery import signals
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_celery import spawned
from otel_celery.forks import gate
from otel_celery.relay.main.relay import Relay
from otel_celery.settings.settings import read
from tests.integration.worker.harness import wait_until

if TYPE_CHECKING:
    import pytest

SETTINGS = read({"PROMETHEUS_ENABLED": "true"})


def connected() -> int:
    """Count the handlers of a child's end."""
    return len(signals.worker_process_shutdown.receivers or ())


def child(told: Any) -> None:
    """Enter, record, and tell what became of it; runs in a process that was spawned."""
    counts = spawned.enter(SETTINGS, "w@h")
    metrics.get_meter("shop").create_counter("orders").add(3)
    spawned.say_goodbye()
    told.put((counts is not None, connected()))


def test_a_process_that_nobody_spawned_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider is set, and no handler connected."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = connected()
    assert spawned.enter(SETTINGS, "w@h") is None
    assert connected() == before


def test_a_spawned_child_sends_what_it_records() -> None:
    """To the main process that spawned it, whose provider then has it."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    failures: list[Exception] = []
    relay = Relay(provider, is_ours=True, label_length=200, gate=gate(), lost=lambda *_: None, failed=failures.append)
    environ = dict(os.environ)
    relay.open(os.environ, has_children=True)
    relay.start()
    try:
        with relay.starting():
            entered = spawn()
        assert entered == (True, 1)
        wait_until(lambda: shown(reader) == {"orders": 3}, "it is shown")
        assert failures == []
    finally:
        relay.close()
        os.environ.clear()
        os.environ.update(environ)


def test_a_spawned_child_of_a_process_without_a_relay_does_nothing() -> None:
    """It counts nothing, and no handler is connected."""
    assert spawn() == (False, 0)


def spawn() -> tuple[bool, int]:
    """Run a child; tell whether it entered, and how many handlers of ours it has."""
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    process = context.Process(target=child, args=(told,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    answer: tuple[bool, int] = told.get()
    return answer


def shown(reader: InMemoryMetricReader) -> dict[str, float]:
    """Collect, and map each counter to its value."""
    data: Any = reader.get_metrics_data()
    metrics_ = (
        [metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]
        if data
        else []
    )
    return {metric.name: metric.data.data_points[0].value for metric in metrics_}
