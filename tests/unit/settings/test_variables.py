"""Each variable is declared once, and a slip of the pen is told of."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import opentelemetry.environment_variables as of_the_api
import opentelemetry.instrumentation.environment_variables as of_instrumentation
import opentelemetry.sdk.environment_variables as of_the_sdk
import pytest

import otel_celery
from otel_celery.settings import variables
from otel_celery.settings.misspelt import meant, warnings
from otel_celery.settings.reader import Reader, SettingsError
from otel_celery.settings.settings import read, traces
from otel_celery.settings.variables import OF_THE_API, VARIABLES, Part

if TYPE_CHECKING:
    from types import ModuleType

NAME = re.compile(r"(OTEL|PROMETHEUS)_[A-Z_]+[A-Z]")
ELSEWHERE = {"OTEL_CELERY_RELAY", "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER"}
"""What our own main process tells its children, and what the exporters read by themselves."""


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


@pytest.mark.parametrize("variable", [each for each in VARIABLES if each not in OF_THE_API], ids=lambda each: each.name)
def test_each_has_its_default_where_it_is_unset_or_empty(variable: variables.Variable[object]) -> None:
    """As OpenTelemetry's specification demands."""
    for environ in ({}, {variable.name: ""}, {variable.name: " "}):
        assert variable.read(Reader(environ)) == variable.default
        assert not variable.is_set(Reader(environ))


ALLOWED = {
    "OTEL_PROPAGATORS": ("", "none", "baggage", " tracecontext , baggage ", "NONE,nonsense", "baggage,none,nonsense"),
    "OTEL_PYTHON_CONTEXT": ("", " ", "contextvars_context"),
    "OTEL_PYTHON_METER_PROVIDER": ("default_meter_provider", "sdk_meter_provider"),
    "OTEL_PYTHON_TRACER_PROVIDER": ("default_tracer_provider", "sdk_tracer_provider"),
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": ("", " ", "*", "otel", " os ,, process,", "service_instance,*"),
}
REFUSED = {
    "OTEL_PROPAGATORS": ("nonsense", " ", "baggage,", "Baggage", "baggage,nonsense", "nonsense,none"),
    "OTEL_PYTHON_CONTEXT": ("nonsense", " contextvars_context", "tracecontext"),
    "OTEL_PYTHON_METER_PROVIDER": ("nonsense", "", " ", "sdk_tracer_provider"),
    "OTEL_PYTHON_TRACER_PROVIDER": ("nonsense", "", " ", "SDK_tracer_provider"),
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": ("nonsense", "none", "OTEL", "otel,nonsense", "**", "nonsense,"),
}
SWITCHES = (
    {"PROMETHEUS_ENABLED": "true"},
    {"OTEL_METRICS_EXPORTER": "console"},
    {"OTEL_TRACES_EXPORTER": "console"},
)


def _pairs(values: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(name, value) for name, each in values.items() for value in each]


def test_those_of_the_api_are_all_tried() -> None:
    """In both ways, below."""
    assert set(ALLOWED) == set(REFUSED) == {each.name for each in OF_THE_API}
    assert all(each.read(Reader({})) == each.default for each in OF_THE_API)


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda each: next(iter(each)))
@pytest.mark.parametrize(("name", "value"), _pairs(ALLOWED))
def test_what_the_api_finds_is_allowed(switch: dict[str, str], name: str, value: str) -> None:
    """As OpenTelemetry looks it up."""
    assert read({**switch, name: value}).warnings == ()


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda each: next(iter(each)))
@pytest.mark.parametrize(("name", "value"), _pairs(REFUSED))
def test_what_the_api_does_not_find_is_refused(switch: dict[str, str], name: str, value: str) -> None:
    """Whatever is on, with the variable's name; where nothing is on, nobody is stopped."""
    with pytest.raises(
        SettingsError, match=f"^{name}={re.escape(repr(value))} is not allowed: it must be .*opentelemetry_"
    ):
        read({**switch, name: value})
    assert not read({name: value}).enabled
    assert traces({name: value}) is None


@pytest.mark.parametrize(("name", "value"), _pairs(REFUSED))
def test_a_process_that_only_publishes_refuses_it_too(name: str, value: str) -> None:
    """Where it makes spans."""
    with pytest.raises(SettingsError, match=f"^{name}={re.escape(repr(value))} is not allowed"):
        traces({"OTEL_TRACES_EXPORTER": "console", name: value})


@pytest.mark.parametrize("switch", SWITCHES[:2], ids=lambda each: next(iter(each)))
def test_the_filter_of_exemplars_is_read_whenever_metrics_are_on(switch: dict[str, str]) -> None:
    """The SDK reads it for a port alone, too."""
    with pytest.raises(SettingsError, match="OTEL_METRICS_EXEMPLAR_FILTER='nonsense' is not allowed"):
        read({**switch, "OTEL_METRICS_EXEMPLAR_FILTER": "nonsense"})
    assert read({**switch, "OTEL_METRICS_EXEMPLAR_FILTER": "Always_On"}).enabled
    assert read({"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXEMPLAR_FILTER": "nonsense"}).traces


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
        ("PROMETHEUSPORT", "PROMETHEUS_PORT"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("OTELSERVICE_NAME", "OTEL_SERVICE_NAME"),
        ("OTEL_PROMETHEUS_PORT", "OTEL_EXPORTER_PROMETHEUS_PORT"),
        ("OTEL_PROMETHEUS_ENABLED", "PROMETHEUS_ENABLED"),
        ("OTEL_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_CELERY_BUCKETS", "OTEL_PYTHON_CELERY_BUCKETS"),
        ("PROMETHUES_PORT", "PROMETHEUS_PORT"),
        ("PROMOTHEUS_ENABLED", "PROMETHEUS_ENABLED"),
        ("OTLE_METRICS_EXPORTER", "OTEL_METRICS_EXPORTER"),
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
        *(
            "OTEL_EXPORTER_JAEGER_ENDPOINT",
            "OTEL_EXPORTER_ZIPKIN_TIMEOUT",
            "OTEL_PYTHON_LOGGER_PROVIDER",
            "OTEL_BLRP_DELAY",
        ),
        *("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_SERVICE_HOST", "PROMETHEUS_URL", "PROMETHEUS_PORT_9090_TCP", "OTEL_"),
        *("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "OTEL_SEMCONV_STABILITY_OPT_IN", "PROMETHEUS_HOST", "PATH"),
        *(
            "OTEL_BLRP_DELAY",
            "OTEL_PYTHON_CONTEXT",
            "HOTEL_METRICS_EXPORTER",
            "OTTER_TRACES",
            "PORT",
            "TRACES_EXPORTER",
        ),
    ],
)
def test_what_is_somebody_elses_is_no_slip(name: str) -> None:
    """Variables of the specification, of other instrumentations, and of Kubernetes."""
    assert meant(name) is None
    assert warnings({name: "x"}) == ()


@pytest.mark.parametrize("module", [of_the_api, of_the_sdk, of_instrumentation])
def test_no_variable_of_opentelemetry_is_a_slip(module: ModuleType) -> None:
    """Each that the installed packages declare is right as it is, whether we read it or not."""
    declared = {value: "x" for name, value in vars(module).items() if name.startswith("OTEL_")}
    assert declared
    assert warnings(declared) == ()


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_PROMETHEUS_PORT": "tcp://10.43.0.12:9090"},
        {"OTEL_PROMETHEUS_SERVICE_HOST": "10.43.0.12", "OTEL_PROMETHEUS_PORT": "", "OTEL_PROMETHEUS_SERVICE_PORT": "1"},
        {"PROMETHEUS2_PORT": "9090", "OTELCOL_IMG": "x", "OTEL": "x", "OTEL_EXPORTER": "x", "PROMETHEUS": "x"},
    ],
)
def test_a_service_with_such_a_name_is_no_slip(environ: dict[str, str]) -> None:
    """Kubernetes and Docker set variables by the names of Services and containers, whatever these are called."""
    assert warnings(environ) == ()
