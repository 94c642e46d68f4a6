"""What is said of metrics that are off: why, and how loud."""

from __future__ import annotations

import logging

import pytest

from otel_celery.settings import off
from otel_celery.settings.settings import read

ON = "PROMETHEUS_ENABLED=true"
PORT = {"PROMETHEUS_PORT": "9101"}
SPANS = {"OTEL_TRACES_EXPORTER": "console"}
MANY = "OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_METRIC_EXPORT_INTERVAL and 2 more variables"
NAMES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_SERVICE_NAME", "PROMETHEUS_PORT")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {**PORT, "PROMETHEUS_ENABLED": "true", "OTEL_SDK_DISABLED": "true"},
            ": OTEL_SDK_DISABLED=true switches everything off",
        ),
        ({"PROMETHEUS_ENABLED": "false", "OTEL_METRICS_EXPORTER": "prometheus"}, ": PROMETHEUS_ENABLED=false"),
        ({"OTEL_METRICS_EXPORTER": "none"}, ": OTEL_METRICS_EXPORTER=none"),
        (
            {"OTEL_METRICS_EXPORTER": "none", **SPANS},
            ": OTEL_METRICS_EXPORTER=none; only spans are made (OTEL_TRACES_EXPORTER)",
        ),
        ({**PORT, **SPANS}, f": only spans are asked for (OTEL_TRACES_EXPORTER); {ON} switches metrics on"),
        (PORT, f": PROMETHEUS_PORT is set, and switches nothing on; {ON} does"),
        (
            dict.fromkeys(NAMES[2:], "1"),
            f": OTEL_SERVICE_NAME and PROMETHEUS_PORT are set, and switch nothing on; {ON} does",
        ),
        (
            dict.fromkeys(NAMES, "1"),
            f": {MANY} are set, and switch nothing on; {ON} does",
        ),
        (
            {"OTEL_PYTHON_CELERY_POOL_TRADING_PORT": "9101"},
            f": OTEL_PYTHON_CELERY_POOL_TRADING_PORT is set, and switches nothing on; {ON} does",
        ),
        ({"PROMETHUES_ENABLED": "true"}, f"; {ON} switches them on"),
    ],
)
def test_a_variable_that_somebody_has_set_makes_it_a_warning(environ: dict[str, str], sentence: str) -> None:
    """It names what switches metrics off, or what does not switch them on, in one short line."""
    level, said = off.sentence(environ, read(environ), "worker w@h")
    assert (level, said) == (logging.WARNING, f"metrics are off for worker w@h{sentence}")
    assert len(said) < 280


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PROMETHEUS_PORT": " "},
        {"PATH": "/bin", "OTEL_LOGS_EXPORTER": "otlp", "PROMETHEUS_MULTIPROC_DIR": "/tmp"},  # noqa: S108  only read
        {"PROMETHEUS_PORT": "tcp://10.43.0.12:9090", "PROMETHEUS_SERVICE_HOST": "10.43.0.12"},
    ],
)
def test_an_environment_without_our_variables_is_an_information(environ: dict[str, str]) -> None:
    """An empty value is none, and what others read or Kubernetes sets is none of ours."""
    said = off.sentence(environ, read(environ), "worker w@h")
    assert said == (logging.INFO, f"metrics are off for worker w@h; {ON} switches them on")
