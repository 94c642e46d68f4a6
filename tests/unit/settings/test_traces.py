"""What the environment says of spans."""

from __future__ import annotations

import pytest

from otel_celery.settings import settings
from otel_celery.settings.reader import SettingsError


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": ""},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "redis,celery"},
    ],
)
def test_nothing_asks_for_no_spans(environ) -> None:
    """Nor does none, a disabled SDK, or an exception for Celery."""
    assert settings.traces(environ) is None
    assert settings.read(environ).traces is None


def test_otlp_goes_over_http_unless_asked_otherwise() -> None:
    """The signal's own variable wins, and a list is a list."""
    found = settings.traces({"OTEL_TRACES_EXPORTER": "otlp,console"})
    assert found is not None
    assert [exporter.entry_point for exporter in found.exporters] == ["otlp_proto_http", "console"]
    assert (found.flush_seconds, found.log_ids, found.has_grpc) == (0.5, False, False)
    found = settings.traces(
        {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            "OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT": "1500",
            "OTEL_PYTHON_LOG_CORRELATION": "true",
        }
    )
    assert found is not None
    assert [exporter.entry_point for exporter in found.exporters] == ["otlp_proto_grpc"]
    assert (found.flush_seconds, found.log_ids, found.has_grpc) == (1.5, True, True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "none,otlp"),
        ("OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT", "0.5"),
        ("OTEL_PYTHON_LOG_CORRELATION", "yes"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ],
)
def test_what_is_not_allowed_is_named(variable, value) -> None:
    """With the value and what is allowed."""
    with pytest.raises(SettingsError, match=f"{variable}='{value}' is not allowed: it must be "):
        settings.traces({"OTEL_TRACES_EXPORTER": "otlp", variable: value})


def test_a_missing_package_is_named_with_its_extra() -> None:
    """One sentence for the operator."""
    found = settings.traces({"OTEL_TRACES_EXPORTER": "otlp"})
    assert found is not None
    assert found.exporters[0].missing.endswith("pip install 'otel-celery[otlp]'")
