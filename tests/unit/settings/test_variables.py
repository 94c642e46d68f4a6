"""Each variable is declared once, and a slip of the pen is told of."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import otel_celery
from otel_celery.settings import variables
from otel_celery.settings.misspelt import meant, warnings
from otel_celery.settings.reader import Reader
from otel_celery.settings.variables import VARIABLES, Part

NAME = re.compile(r"(OTEL|PROMETHEUS)_[A-Z_]+[A-Z]")
ELSEWHERE = {"OTEL_CELERY_RELAY"}
"""What our own main process tells its children."""


def test_no_module_names_a_variable_that_is_not_declared() -> None:
    """A text in the code that is a variable's name, or begins like a sentence about one, is one of the list."""
    root = Path(otel_celery.__file__).parent
    trees = {path: ast.parse(path.read_text()) for path in root.rglob("*.py")}
    found = {
        name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in [node.value]
        if NAME.fullmatch(name)
    }
    assert found <= set(variables.names()) | ELSEWHERE


def test_each_is_declared_once() -> None:
    """By name; and each part has some."""
    assert len({each.name for each in VARIABLES}) == len(VARIABLES)
    assert {each.part for each in VARIABLES} == set(Part)
    assert len(list(variables.names())) == len(set(variables.names()))


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda each: each.name)
def test_each_has_its_default_where_it_is_unset_or_empty(variable: variables.Variable[object]) -> None:
    """As OpenTelemetry's specification demands."""
    for environ in ({}, {variable.name: ""}, {variable.name: " "}):
        assert variable.read(Reader(environ)) == variable.default
        assert not variable.is_set(Reader(environ))


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("PROMETHEUS_ENABLE", "PROMETHEUS_ENABLED"),
        ("PROMETHEUS_PROT", "PROMETHEUS_PORT"),
        ("OTEL_METRICS_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_INTERVAL"),
        ("OTEL_METRIC_EXPORTER", "OTEL_METRICS_EXPORTER"),
        ("OTEL_TRACE_EXPORTER", "OTEL_TRACES_EXPORTER"),
        ("OTEL_EXPORTER_OTLP_ENDPIONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADER", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"),
    ],
)
def test_a_slip_of_the_pen_is_told_of(name: str, setting: str) -> None:
    """Standard names too: one that is misspelt does nothing, without a word from anybody."""
    assert warnings({name: "x"}) == (
        f"{name} is not a setting of otel-celery and was ignored; did you mean {setting}?",
    )


@pytest.mark.parametrize(
    "name",
    [
        *("OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_LOG_LEVEL", "OTEL_PYTHON_LOG_FORMAT"),
        *("OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_TRACES_SAMPLER"),
        *("OTEL_EXPORTER_JAEGER_ENDPOINT", "OTEL_EXPORTER_ZIPKIN_TIMEOUT", "OTEL_PYTHON_CONTEXT", "OTEL_BLRP_DELAY"),
        *("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_SERVICE_HOST", "PROMETHEUS_URL", "PROMETHEUS_PORT_9090_TCP", "OTEL_"),
        *("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "OTEL_SEMCONV_STABILITY_OPT_IN", "PROMETHEUS_HOST", "PATH"),
    ],
)
def test_what_is_somebody_elses_is_no_slip(name: str) -> None:
    """Variables of the specification, of other instrumentations, and of Kubernetes."""
    assert meant(name) is None
    assert warnings({name: "x"}) == ()
