"""What the environment says of pushing, and of OTLP, whose variables have names by signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_celery.masking import masked
from otel_celery.settings.otlp import GRPC, HTTP, Otlp, otlp
from otel_celery.settings.reader import Reader
from otel_celery.settings.settings import SettingsError, read

if TYPE_CHECKING:
    from pathlib import Path

    from otel_celery.settings.push import Push

ON = {"OTEL_METRICS_EXPORTER": "otlp"}
OTLP = "OTEL_EXPORTER_OTLP_"


def push(**environ: str) -> Push:
    """Read an environment in which something is pushed."""
    found = read(ON | environ).push
    assert found is not None
    return found


def by_otlp(**environ: str) -> Otlp:
    """Read the one OTLP exporter of an environment."""
    (exporter,) = push(**environ).exporters
    assert exporter.otlp is not None
    return exporter.otlp


def test_the_defaults_are_the_specifications() -> None:
    """All but the protocol's, whose default the specification leaves to each SDK."""
    told = push()
    assert (told.interval, told.timeout, told.temporality, told.is_exponential) == (60.0, 30.0, "cumulative", False)
    assert by_otlp() == Otlp(HTTP, "http://localhost:4318/v1/metrics", 10.0, "none", is_insecure=True)
    assert by_otlp(OTEL_EXPORTER_OTLP_PROTOCOL="grpc") == Otlp(
        GRPC, "http://localhost:4317", 10.0, "none", is_insecure=True
    )


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"ENDPOINT": "http://collector:4318"}, "http://collector:4318/v1/metrics"),
        ({"ENDPOINT": "https://collector/otlp/"}, "https://collector/otlp/v1/metrics"),
        ({"METRICS_ENDPOINT": "http://other:1/write"}, "http://other:1/write"),
        ({"ENDPOINT": "http://collector:4318", "METRICS_ENDPOINT": "http://other"}, "http://other"),
        ({"ENDPOINT": "http://collector:4318", "METRICS_ENDPOINT": ""}, "http://collector:4318/v1/metrics"),
        ({"ENDPOINT": "https://c/otlp?key=x"}, "https://c/otlp/v1/metrics?key=x"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "http://collector:4317"}, "http://collector:4317"),
        ({"PROTOCOL": "grpc", "ENDPOINT": "collector:4317"}, "collector:4317"),
    ],
)
def test_the_endpoint(environ: dict[str, str], endpoint: str) -> None:
    """The signal's own is taken as it stands; to that of all signals HTTP adds the signal's path."""
    assert by_otlp(**{OTLP + name: value for name, value in environ.items()}).endpoint == endpoint


@pytest.mark.parametrize("own", ["", "METRICS_"])
def test_each_variable_beats_that_of_all_signals(own: str, tmp_path: Path) -> None:
    """What is set for the signal counts, and what is empty does not."""
    file = tmp_path / "file.pem"
    file.write_text("x")
    said = {"PROTOCOL": "grpc", "TIMEOUT": "2500", "COMPRESSION": "GZIP", "CERTIFICATE": str(file)}
    said |= {"CLIENT_KEY": str(file), "CLIENT_CERTIFICATE": str(file), "ENDPOINT": "https://c:1"}
    other = {"PROTOCOL": HTTP, "TIMEOUT": "7", "COMPRESSION": "deflate", "ENDPOINT": "http://x"} if own else {}
    environ = {OTLP + name: value for name, value in other.items()} | {
        f"{OTLP}{own}{name}": value for name, value in said.items()
    }
    expected = Otlp(GRPC, "https://c:1", 2.5, "gzip", False, file, file, file)
    assert by_otlp(**environ) == expected


@pytest.mark.parametrize(
    ("endpoint", "insecure", "expected"),
    [("c:1", "true", True), ("c:1", "", False), ("http://c:1", "false", True), ("https://c:1", "true", False)],
)
def test_insecure_is_for_an_endpoint_without_a_scheme(endpoint: str, insecure: str, expected: bool) -> None:  # noqa: FBT001
    """As the specification says; a scheme has the last word."""
    environ = {"PROTOCOL": "grpc", "ENDPOINT": endpoint, "INSECURE": insecure}
    assert by_otlp(**{OTLP + name: value for name, value in environ.items()}).is_insecure is expected


def test_another_signal_has_its_own_variables() -> None:
    """The same reading serves traces."""
    environ = {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "1000", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    told = otlp(Reader(environ), "TRACES")
    assert (told.endpoint, told.timeout) == ("http://c:4318/v1/traces", 1.0)


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http", "grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "a URL that begins with http:// or https://"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://", "a URL that begins with http:// or https://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:65536", "a URL that begins with http:// or https://"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5", "a whole number of milliseconds from 1 to 86400000"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "a whole number of milliseconds from 1 to 86400000"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-1", "a whole number of milliseconds from 1 to 86400000"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "none, gzip or deflate"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "deltas",
            "cumulative, delta or lowmemory",
        ),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "exponential",
            "explicit_bucket_histogram or base2_exponential_bucket_histogram",
        ),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such", "a file that this process can read (No such file or directory)"),
    ],
)
def test_a_bad_value_is_one_sentence(variable: str, value: str, allowed: str) -> None:
    """It names the variable, the value and what is allowed, and matters only where something is pushed."""
    with pytest.raises(SettingsError) as error:
        push(**{variable: value})
    assert str(error.value) == f"{variable}={value!r} is not allowed: it must be {allowed}"
    assert read({"OTEL_METRICS_EXPORTER": "prometheus", variable: value}).push is None


@pytest.mark.parametrize(
    ("protocol", "headers"),
    [
        *(
            (HTTP, headers)
            for headers in ("secret", "a=b,secret", "=secret", "a b=secret", 'a="secret"', "a=b\\secret")
        ),
        # These the exporter would take, and what it speaks with would quote all headers in its refusal.
        *((HTTP, headers) for headers in ("a=secret%0Ax", "a=%0D%0Asecret%00x", "a=secret%E2%82%ACx", "%C3%A9=secret")),
        *((GRPC, headers) for headers in ("a!=secret", "a-bin=secret", "a=secret%C3%A9x", "a=secret%09x")),
    ],
)
def test_a_bad_header_is_refused_without_showing_it(protocol: str, headers: str) -> None:
    """What the exporter would leave out, or fail on, is said; its value is nobody's business."""
    with pytest.raises(SettingsError) as error:
        push(OTEL_EXPORTER_OTLP_HEADERS=headers, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert "secret" not in str(error.value)
    assert "OTEL_EXPORTER_OTLP_HEADERS='***' is not allowed" in str(error.value)
    assert push(OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20x,x-y=").exporters


def test_a_timeout_that_looks_like_seconds_is_a_warning() -> None:
    """It is milliseconds that count; Python's own exporters read seconds."""
    (warning,) = read(ON | {"OTEL_EXPORTER_OTLP_TIMEOUT": "10"}).warnings
    assert warning.startswith("OTEL_EXPORTER_OTLP_TIMEOUT=10 is read as milliseconds")
    assert warning.endswith("for seconds write 10000")
    assert read(ON | {"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}).warnings == ()
    spans = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "5"}
    (warning,) = read(spans).warnings
    assert warning.startswith("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=5 is read as milliseconds")
    assert read({**spans, "OTEL_TRACES_EXPORTER": "none"}).warnings == ()


@pytest.mark.parametrize(
    ("environ", "needs_sdk", "has_exemplars"),
    [
        ({}, False, False),
        ({"OTEL_METRICS_EXPORTER": "console"}, False, False),
        ({"OTEL_METRICS_EXPORTER": "pigeon"}, True, True),
        ({f"{OTLP}METRICS_TEMPORALITY_PREFERENCE": "delta"}, True, True),
        ({f"{OTLP}METRICS_TEMPORALITY_PREFERENCE": "LowMemory"}, True, True),
        ({f"{OTLP}METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"}, True, True),
        (
            {f"{OTLP}METRICS_TEMPORALITY_PREFERENCE": "delta", "OTEL_METRICS_EXEMPLAR_FILTER": "always_off"},
            True,
            False,
        ),
        ({"OTEL_METRICS_EXPORTER": "console", f"{OTLP}METRICS_TEMPORALITY_PREFERENCE": "delta"}, False, False),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "trace_based"}, True, True),
        ({"OTEL_METRICS_EXEMPLAR_FILTER": "always_off"}, False, False),
    ],
)
def test_who_needs_the_sdk_to_record(environ: dict[str, str], needs_sdk: bool, has_exemplars: bool) -> None:  # noqa: FBT001
    """Tallies are for cumulative explicit buckets without exemplars; whoever wants more pays for it."""
    told = push(**environ)
    assert (told.needs_sdk, told.has_exemplars) == (needs_sdk, has_exemplars)


@pytest.mark.parametrize(
    ("names", "entry_points", "extra"),
    [
        ("otlp", ["otlp_proto_http"], "'otel-celery[otlp]'"),
        ("otlp_proto_grpc", ["otlp_proto_grpc"], "'otel-celery[otlp-grpc]'"),
        ("otlp_proto_http,otlp_proto_grpc", ["otlp_proto_http", "otlp_proto_grpc"], "'otel-celery[otlp]'"),
        ("pigeon", ["pigeon"], "entry point group opentelemetry_metrics_exporter"),
    ],
)
def test_each_exporter_knows_its_entry_point_and_its_extra(names: str, entry_points: list[str], extra: str) -> None:
    """A package that is missing is a sentence that names the extra to install."""
    exporters = push(OTEL_METRICS_EXPORTER=names).exporters
    assert [exporter.entry_point for exporter in exporters] == entry_points
    assert extra in exporters[0].missing


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy"])
def test_credentials_of_a_proxy_are_not_shown(variable: str) -> None:
    """The exporters' libraries read it by themselves, and quote what they cannot use."""
    by_otlp(**{variable: f"http://user:of-{variable}#more@proxy:3128"})
    assert masked(f"Failed to parse: 'user:of-{variable}' is not a valid host or port").count(variable) == 0


def test_credentials_in_an_endpoint_are_not_shown() -> None:
    """The log and `otel-celery check` name the place alone."""
    told = by_otlp(OTEL_EXPORTER_OTLP_ENDPOINT="https://user:secret@c:4318")
    assert told.place == "https://***@c:4318/v1/metrics"
    assert "secret" not in repr(read(ON | {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://user:secret@c:4318"}))
    assert told.endpoint == "https://user:secret@c:4318/v1/metrics"
