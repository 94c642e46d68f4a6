"""Load and create the metric exporters that OTEL_METRICS_EXPORTER names, after the pool has forked.

OTLP exporters get values that the settings have read and checked; other exporters read the environment themselves.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation

from otel_celery.export import plugins
from otel_celery.export.otlp import imported_late
from otel_celery.export.otlp import options as otlp_options
from otel_celery.forks import gate
from otel_celery.masking import RefusedError
from otel_celery.settings.otlp import GRPC, HTTP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.settings.otlp import Exporter
    from otel_celery.settings.push import Push

_KINDS = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter, ObservableGauge)

_DELTAS: dict[str, tuple[type, ...]] = {
    "cumulative": (),
    "delta": (Counter, Histogram, ObservableCounter),
    "lowmemory": (Counter, Histogram),
}
"""Instrument kinds with delta temporality, by the value of OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE.

The table is that of the specification (https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/).
"""


class ExporterError(Exception):
    """An exporter cannot be loaded or created; the message is one sentence for the operator."""


_PARTS = {HTTP: ("google.protobuf.descriptor", "opentelemetry.proto.metrics.v1.metrics_pb2"), GRPC: ("grpc",)}
"""What OTLP's exporters import, in parts, by protocol: a fork may have its turn in between."""


def load(exporter: Exporter) -> type[MetricExporter | MetricReader]:
    """Import an exporter's class. The caller keeps forks waiting, or the child would find modules locked for ever.

    Raises ExporterError.
    """
    try:
        loaded = plugins.load(exporter.group, exporter.entry_point, exporter.variable, exporter.missing)
    except RefusedError as error:
        raise ExporterError(str(error)) from error
    if not isinstance(loaded, type) or not issubclass(loaded, (MetricExporter, MetricReader)):
        raise ExporterError(
            f"{exporter.variable} names {exporter.name!r}, which is neither a MetricExporter nor a MetricReader"
        )
    if exporter.otlp is not None:
        _import(imported_late(exporter.otlp))
    return loaded


def _import(modules: Iterable[str]) -> None:
    for module in modules:
        # Whatever it raises: what needs the module imports it again, and is asked why it cannot be used.
        with gate().importing(), contextlib.suppress(Exception):
            importlib.import_module(module)


def make(loaded: type[MetricExporter | MetricReader], exporter: Exporter, push: Push) -> MetricExporter | MetricReader:
    """Create an exporter from its class.

    Raises ExporterError.
    """
    otlp = exporter.otlp
    options = (
        {} if otlp is None else {**otlp_options(otlp, min(otlp.timeout, push.timeout), loaded), **preferences_of(push)}
    )
    try:
        made: MetricExporter | MetricReader = plugins.make(loaded, exporter.name, exporter.variable, **options)
    except RefusedError as error:
        raise ExporterError(str(error)) from error
    return made


class Late:
    """An OTLP exporter that the thread which pushes imports and creates, once the worker has started."""

    def __init__(self, exporter: Exporter, push: Push) -> None:
        """Prefer what the exporter will prefer; nothing is imported yet."""
        self._exporter, self._push = exporter, push
        preferred = preferences_of(push)
        self._preferred_temporality = preferred["preferred_temporality"]
        self._preferred_aggregation = preferred["preferred_aggregation"]

    def open(self) -> MetricExporter:
        """Import and create the exporter, and keep forks waiting meanwhile.

        Raises ExporterError.
        """
        if self._exporter.otlp is not None:
            _import((*_PARTS[self._exporter.otlp.protocol], *imported_late(self._exporter.otlp)))
        with gate().importing():
            made = make(load(self._exporter), self._exporter, self._push)
        if not isinstance(made, MetricExporter):
            raise ExporterError(f"{self._exporter.variable} names {self._exporter.name!r}, which is no MetricExporter")
        return made


def preferences_of(push: Push) -> dict[str, Any]:
    """Return the arguments of an OTLP exporter that say what a reader prefers: temporality and aggregation."""
    explicit, exponential = ExplicitBucketHistogramAggregation(), ExponentialBucketHistogramAggregation()
    deltas = _DELTAS[push.temporality]
    return {
        "preferred_temporality": {
            kind: AggregationTemporality.DELTA if kind in deltas else AggregationTemporality.CUMULATIVE
            for kind in _KINDS
        },
        "preferred_aggregation": {Histogram: exponential if push.is_exponential else explicit},
    }
