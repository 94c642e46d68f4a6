"""The app under test, which has a MeterProvider of its own; T_READER says what is already read from it.

Whoever creates the file T_GO gets what an in-memory reader of the application sees, as JSON in the file T_SEEN.
"""

from __future__ import annotations

import os
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from celery import signals
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader, _AutoPrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader, PeriodicExportingMetricReader
from prometheus_client import CollectorRegistry

from otel_celery import instrument
from tests.integration.worker.answers import write
from tests.integration.worker.proj import app

memory = InMemoryMetricReader()
readers: list[MetricReader] = [memory]
if os.environ.get("T_READER") == "auto":
    readers.append(_AutoPrometheusMetricReader())
elif os.environ.get("T_READER") == "prometheus":
    readers.append(PrometheusMetricReader(registry=CollectorRegistry()))
elif os.environ.get("T_READER") == "otlp":
    readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
provider = MeterProvider(readers)
metrics.set_meter_provider(provider)
handle = instrument(app)
meter = provider.get_meter("app")
counter = meter.create_counter("app.counter")


def _slow(_: Any) -> list[metrics.Observation]:
    time.sleep(float(os.environ["T_SLOW"]))
    return [metrics.Observation(1)]


if os.environ.get("T_ODD"):
    odd: Any = [metrics.Observation(0.5), metrics.Observation(Decimal(1))]  # type: ignore[arg-type]  # which cannot be added up
    meter.create_observable_counter("app.odd", [lambda _: odd])

if os.environ.get("T_SLOW"):
    meter.create_observable_gauge("app.slow", [_slow])


@signals.worker_ready.connect
def _on_ready(**_):
    threading.Thread(target=_answer, name="answers", daemon=True).start()


def _answer() -> None:
    go = Path(os.environ["T_GO"])
    while True:
        if go.exists():
            go.unlink()
            write(os.environ["T_SEEN"], {"ours": metrics.get_meter_provider() is provider, "points": _points()})
        time.sleep(0.05)


def _points() -> list[Any]:
    data = memory.get_metrics_data()
    return [
        [metric.name, dict(point.attributes or {}), getattr(point, "value", None), getattr(point, "count", None)]
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


@app.task(name="proj.meddle")
def meddle():
    """Do in a pool child what must not be done there."""
    handle.uninstrument()
    provider.force_flush()
    memory.collect()
    provider.shutdown()
    return os.getpid()


@app.task(name="proj.record")
def record():
    """Use what the child inherited: an instrument, and a reader of the provider."""
    counter.add(1)
    memory.collect()
