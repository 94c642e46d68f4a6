"""Exporters are found by name, made by the settings, and what is wrong with one is one sentence."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation

from otel_celery.export import plugins
from otel_celery.record.exporters import ExporterError, load, make
from otel_celery.settings.settings import read

if TYPE_CHECKING:
    from pathlib import Path

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE


def made(name: str = "otlp", **environ: str) -> Any:
    """Make the one exporter that an environment names."""
    push = read({"OTEL_METRICS_EXPORTER": name, **environ}).push
    assert push is not None
    (exporter,) = push.exporters
    return make(load(exporter), exporter, push)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("variable", ["TIMEOUT", "METRICS_TIMEOUT"])
def test_a_timeout_is_milliseconds(protocol: str, variable: str) -> None:
    """The specification's unit, for both protocols; OTEL_METRIC_EXPORT_TIMEOUT bounds it."""
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, f"OTEL_EXPORTER_OTLP_{variable}": "2500"}
    timeouts = [made(**environ), made(**environ, OTEL_METRIC_EXPORT_TIMEOUT="500")]
    assert [getattr(e, "_client", e)._timeout if protocol != "grpc" else e._timeout for e in timeouts] == [2.5, 0.5]


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gRPC exporter's own code fails on these."""
    for name in ("COMPRESSION", "METRICS_COMPRESSION", "TIMEOUT", "CERTIFICATE", "HEADERS"):
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", "")
    exporter = made(OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert (exporter._insecure, exporter._compression) == (True, grpc.Compression.NoCompression)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize(
    ("preference", "deltas"),
    [("cumulative", set()), ("delta", {Counter, Histogram, ObservableCounter}), ("lowmemory", {Counter, Histogram})],
)
def test_the_temporality_is_the_specifications_table(protocol: str, preference: str, deltas: set[type]) -> None:
    """What goes up is a delta, and what goes up and down never is."""
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference,
    }
    temporality = made(**environ)._preferred_temporality
    assert {kind for kind, found in temporality.items() if found is DELTA} == deltas
    assert temporality[UpDownCounter] is CUMULATIVE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("explicit_bucket_histogram", ExplicitBucketHistogramAggregation),
        ("BASE2_exponential_bucket_histogram", ExponentialBucketHistogramAggregation),
    ],
)
def test_the_aggregation_of_histograms(name: str, expected: type) -> None:
    """In any case of letters."""
    exporter = made(OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=name)
    assert type(exporter._preferred_aggregation[Histogram]) is expected


def test_grpcs_credentials_need_no_ca(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A client's certificate is used with the system's CAs too."""
    given: list[Any] = []
    real = grpc.ssl_channel_credentials

    def credentials(*files: Any) -> Any:
        given.append(files)
        return real()

    monkeypatch.setattr(grpc, "ssl_channel_credentials", credentials)
    pem = tmp_path / "pem"
    pem.write_bytes(b"x")
    variables = {f"OTEL_EXPORTER_OTLP_{name}": str(pem) for name in ("CLIENT_KEY", "CLIENT_CERTIFICATE")}
    made(OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_ENDPOINT="https://c:1", **variables)
    assert given == [(None, b"x", b"x")]


def test_the_console_and_its_kind_need_no_settings() -> None:
    """What is registered by the SDK itself is found like anything else."""
    assert isinstance(made("console"), MetricExporter)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "no.such.module:Exporter",
            "which cannot be loaded: ModuleNotFoundError",
        ),
        ("json:dumps", "which is neither a MetricExporter nor a MetricReader"),
        (
            "opentelemetry.sdk.metrics.export:MetricExporter",
            "which cannot be made: TypeError",
        ),
        (None, "which no installed package registers"),
    ],
)
def test_an_exporter_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, target: str | None, sentence: str) -> None:
    """Missing, broken, something else, or refusing to be made: one sentence each."""
    entries = [EntryPoint("pigeon", target, "opentelemetry_metrics_exporter")] if target is not None else []
    monkeypatch.setattr(plugins, "entry_points", lambda **_: entries)
    with pytest.raises(ExporterError) as error:
        made("pigeon")
    assert str(error.value).startswith(f"OTEL_METRICS_EXPORTER names 'pigeon', {sentence}")


@pytest.mark.parametrize(("protocol", "extra"), [("http/protobuf", "otlp"), ("grpc", "otlp-grpc")])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, protocol: str, extra: str) -> None:
    """As `pip install otel-celery` alone leaves it."""
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [])
    with pytest.raises(ExporterError, match=rf"for {protocol} is not installed: pip install 'otel-celery\[{extra}\]'"):
        made(OTEL_EXPORTER_OTLP_PROTOCOL=protocol)


def test_an_import_that_fails_in_any_way_is_the_exporters_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-installed library raises whatever it likes, and the thread that imports it is to go on."""

    def broken(name: str) -> None:
        raise AttributeError(name)

    monkeypatch.setattr("otel_celery.record.exporters.importlib.import_module", broken)
    assert isinstance(made(), MetricExporter)
