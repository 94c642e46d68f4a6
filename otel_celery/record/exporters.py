"""Exporters, found by the names that OTEL_METRICS_EXPORTER may have, and made by what the environment says.

OTLP's are given what the settings have read and checked.
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
"""What is counted from the last export on, by the preference's name; the specification's table."""


class ExporterError(Exception):
    """An exporter cannot be had; the message is one sentence for the operator."""


_LAZY = {HTTP: ("requests", "netrc", "encodings.idna"), GRPC: ("grpc.experimental", "grpc._channel")}
"""What OTLP's exporters import only once they are made or first used, by protocol.

A child that is forked while another thread imports something finds that module locked for ever.
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
        with contextlib.suppress(ImportError):  # one that has moved is imported when it is used
            importlib.import_module(module)
    return loaded


def make(loaded: type[MetricExporter | MetricReader], exporter: Exporter, push: Push) -> MetricExporter | MetricReader:
    """Make an exporter of its class.

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
