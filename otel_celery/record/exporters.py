"""Load and create the metric exporters that OTEL_METRICS_EXPORTER names.

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
from otel_celery.export.otlp import options
from otel_celery.masking import RefusedError
from otel_celery.settings.otlp import GRPC, HTTP

if TYPE_CHECKING:
    from otel_celery.settings.otlp import Exporter, Otlp
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


_LAZY = {HTTP: ("requests", "netrc", "encodings.idna"), GRPC: ("grpc.experimental", "grpc._channel")}
"""Modules that OTLP's exporters import only when they are created or first used, by protocol.

A child that is forked while another thread imports a module finds that module locked for ever.
"""


def load(exporter: Exporter) -> type[MetricExporter | MetricReader]:
    """Import an exporter's class; done before the pool forks, so that no later import meets a fork.

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
    for module in _LAZY[exporter.otlp.protocol] if exporter.otlp is not None else ():
        with contextlib.suppress(ImportError):  # a module that has moved is imported when it is used
            importlib.import_module(module)
    return loaded


def make(loaded: type[MetricExporter | MetricReader], exporter: Exporter, push: Push) -> MetricExporter | MetricReader:
    """Create an exporter from its class.

    Raises ExporterError.
    """
    options = _options(exporter.otlp, push) if exporter.otlp is not None else {}
    try:
        made: MetricExporter | MetricReader = plugins.make(loaded, exporter.name, exporter.variable, **options)
    except RefusedError as error:
        raise ExporterError(str(error)) from error
    return made


def _options(otlp: Otlp, push: Push) -> dict[str, Any]:
    explicit, exponential = ExplicitBucketHistogramAggregation(), ExponentialBucketHistogramAggregation()
    deltas = _DELTAS[push.temporality]
    return {
        **options(otlp, min(otlp.timeout, push.timeout)),
        "preferred_temporality": {
            kind: AggregationTemporality.DELTA if kind in deltas else AggregationTemporality.CUMULATIVE
            for kind in _KINDS
        },
        "preferred_aggregation": {Histogram: exponential if push.is_exponential else explicit},
    }
