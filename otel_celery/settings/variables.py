"""Declare each environment variable once; the parser and the table in docs/settings.md are made from this list.

Standard variables have the meaning of the OpenTelemetry specification
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from otel_celery.catalogue import BUCKETS as DEFAULT_BUCKETS
from otel_celery.ending import SPANS_SECONDS
from otel_celery.settings import kinds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.settings.kinds import Kind
    from otel_celery.settings.reader import Reader

T = TypeVar("T")

PREFIX = "OTEL_PYTHON_CELERY_"
"""The prefix of our own variables."""

OTLP_PREFIX = "OTEL_EXPORTER_OTLP_"


class Part(Enum):
    """The part of the settings that a variable belongs to, as a heading of the table."""

    EVERYTHING = "Everything"
    PORT = "The port"
    PUSH = "Push"
    OTLP = "OTLP, for metrics and for spans"
    TRACES = "Spans"
    QUEUES = "Queues"
    SERIES = "Series"


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """One variable: its name, kind of value, default and meaning."""

    name: str
    part: Part
    takes: Kind[T]
    default: T
    meaning: str
    shown: str | None = None
    """The default in words for the table, None to show the value itself."""

    def read(self, reader: Reader, default: T | None = None) -> T:
        """Read the value, with another ``default`` if that depends on other variables.

        Raises SettingsError if the value is not allowed.
        """
        return self.takes.read(reader, self.name, self.default if default is None else default)

    def is_set(self, reader: Reader) -> bool:
        """Tell whether the variable has a value."""
        return reader.text(self.name) is not None

    def of_signal(self, signal: str) -> Variable[T]:
        """Return the signal's own variable of this OTLP variable, which wins over the general one."""
        return replace(self, name=f"{OTLP_PREFIX}{signal}_{self.name.removeprefix(OTLP_PREFIX)}")


SDK_DISABLED = Variable("OTEL_SDK_DISABLED", Part.EVERYTHING, kinds.BOOLEAN, False, "`true`: nothing is installed")  # noqa: FBT003
STRICT = Variable(
    f"{PREFIX}STRICT",
    Part.EVERYTHING,
    kinds.BOOLEAN,
    False,  # noqa: FBT003
    "`true`: a bad value, or a taken port, ends the worker with status 78",
)
SERVICE_NAME = Variable(
    "OTEL_SERVICE_NAME",
    Part.EVERYTHING,
    kinds.OF_THE_SDK,
    "",
    "the resource's `service.name`, pushed, and shown in `target_info`",
    "the app's name",
)
RESOURCE_ATTRIBUTES = Variable(
    "OTEL_RESOURCE_ATTRIBUTES", Part.EVERYTHING, kinds.OF_THE_SDK, "", "further attributes of the resource"
)
METRICS_EXPORTER = Variable(
    "OTEL_METRICS_EXPORTER",
    Part.EVERYTHING,
    kinds.EXPORTERS,
    (),
    "`prometheus` serves the port; other exporters (`otlp`, `console`, or one that a package registers) push",
)
CHILD_METRICS = Variable(
    f"{PREFIX}CHILD_METRICS",
    Part.EVERYTHING,
    kinds.BOOLEAN,
    True,  # noqa: FBT003
    "`false`: the metrics that tasks record themselves are not exported (see [your own metrics](own-metrics.md))",
)
SENT_HEADER = Variable(
    f"{PREFIX}SENT_HEADER",
    Part.EVERYTHING,
    kinds.BOOLEAN,
    True,  # noqa: FBT003
    "`false`: published messages have no header with their time, so that workers cannot tell how long they waited",
)
GC_FREEZE = Variable(
    f"{PREFIX}GC_FREEZE",
    Part.EVERYTHING,
    kinds.BOOLEAN,
    False,  # noqa: FBT003
    "`true`: a prefork worker freezes Python's garbage collector before it forks, so that its children share memory "
    "(see [what it costs](cost.md#freezing-before-the-fork))",
)
CONTEXT = Variable(
    "OTEL_PYTHON_CONTEXT",
    Part.EVERYTHING,
    kinds.registered("opentelemetry_context", may_be_empty=True, is_made=True),
    "",
    "the implementation of OpenTelemetry's context",
    "contextvars_context",
)
METER_PROVIDER = Variable(
    "OTEL_PYTHON_METER_PROVIDER",
    Part.EVERYTHING,
    kinds.registered("opentelemetry_meter_provider"),
    "",
    "the MeterProvider that OpenTelemetry's API makes if none is set; unset it rather than set it to an empty value",
)
RESOURCE_DETECTORS = Variable(
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
    Part.EVERYTHING,
    kinds.all_registered("opentelemetry_resource_detector", every="*"),
    "",
    "detectors that add attributes to the resource, shown in `target_info` and pushed",
    "none",
)

ENABLED = Variable(
    "PROMETHEUS_ENABLED",
    Part.PORT,
    kinds.BOOLEAN,
    False,  # noqa: FBT003
    "`true` serves the port; `false` takes `prometheus` out of OTEL_METRICS_EXPORTER",
    "",
)
OTEL_PORT = Variable("OTEL_EXPORTER_PROMETHEUS_PORT", Part.PORT, kinds.PORT, 9464, "the port")
PORT = Variable(
    "PROMETHEUS_PORT",
    Part.PORT,
    kinds.PORT,
    9464,
    "the port; wins over OTEL_EXPORTER_PROMETHEUS_PORT; alone it enables nothing. The value that Kubernetes sets for a "
    "Service called `prometheus` (`tcp://…`) is ignored, with a warning",
    "",
)
BEAT_PORT = Variable(
    f"{PREFIX}BEAT_PORT",
    Part.PORT,
    kinds.PORT,
    0,
    "the port of beat; wins over the others there; `celery worker -B` needs it, since the worker has those; alone it "
    "enables nothing (see [beat](beat.md))",
    "",
)
HOST = Variable(
    "OTEL_EXPORTER_PROMETHEUS_HOST",
    Part.PORT,
    kinds.HOST,
    "localhost",
    "the address to listen on. On the loopback the `Host` of a request must be this host, `localhost`, "
    "`host.docker.internal` or an address, so that no website can read the port through a browser; a proxy in front "
    "sends `Host: localhost`",
)
TLS_CERT = Variable(
    f"{PREFIX}TLS_CERT_FILE",
    Part.PORT,
    kinds.FILE,
    None,
    "TLS (1.2 and later) for the port; a renewed pair is picked up",
)
TLS_KEY = Variable(f"{PREFIX}TLS_KEY_FILE", Part.PORT, kinds.SECRET_FILE, None, "the certificate's key")
TLS_CLIENT_CA = Variable(
    f"{PREFIX}TLS_CLIENT_CA_FILE", Part.PORT, kinds.FILE, None, "clients need a certificate signed by it"
)
CREDENTIALS = Variable(
    f"{PREFIX}CREDENTIALS_FILE",
    Part.PORT,
    kinds.SECRET_FILE,
    None,
    "one credential a line: `user:password`, or a bearer token, in plain text. A hash, as htpasswd makes them, is "
    "refused: each check of one would take the worker a tenth of a second. A file that every user may read causes a "
    "warning",
)
RUNBOOK_URL = Variable(
    f"{PREFIX}RUNBOOK_URL",
    Part.PORT,
    kinds.URL,
    "",
    "where you keep the [runbook](../devops/monitoring/RUNBOOK.md), for the link on the port's "
    "[page](port.md#the-page)",
    "the port's own, [`/-/runbook`](port.md#the-runbook)",
)
POOL_PORT = Variable(
    f"{PREFIX}POOL_<NAME>_PORT", Part.PORT, kinds.PORT, 9464, "the port of one pool of the pools file", "the file's"
)

INTERVAL = Variable(
    "OTEL_METRIC_EXPORT_INTERVAL",
    Part.PUSH,
    kinds.MILLISECONDS,
    60_000,
    "from the start of one export to the start of the next",
)
TIMEOUT = Variable(
    "OTEL_METRIC_EXPORT_TIMEOUT", Part.PUSH, kinds.MILLISECONDS, 30_000, "the longest time of one export"
)
TEMPORALITY = Variable(
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    Part.PUSH,
    kinds.choice("cumulative", "delta", "lowmemory"),
    "cumulative",
    "the temporality of OTLP's counters and histograms",
)
AGGREGATION = Variable(
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    Part.PUSH,
    kinds.choice("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
    "explicit_bucket_histogram",
    "the buckets of OTLP's histograms",
)
EXEMPLARS = Variable(
    "OTEL_METRICS_EXEMPLAR_FILTER",
    Part.PUSH,
    kinds.choice("trace_based", "always_on", "always_off"),
    "",
    "`trace_based` and `always_on` switch exemplars on",
)

ENDPOINT = Variable(
    f"{OTLP_PREFIX}ENDPOINT",
    Part.OTLP,
    kinds.URL,
    "",
    "the collector's URL",
    "`http://localhost:4318`, and 4317 for gRPC",
)
PROTOCOL = Variable(
    f"{OTLP_PREFIX}PROTOCOL", Part.OTLP, kinds.choice("grpc", "http/protobuf"), "http/protobuf", "the protocol"
)
HEADERS = Variable(
    f"{OTLP_PREFIX}HEADERS", Part.OTLP, kinds.PAIRS, (), "headers of each request; they may hold secrets"
)
OTLP_TIMEOUT = Variable(
    f"{OTLP_PREFIX}TIMEOUT", Part.OTLP, kinds.MILLISECONDS, 10_000, "for one request with its retries"
)
COMPRESSION = Variable(
    f"{OTLP_PREFIX}COMPRESSION", Part.OTLP, kinds.choice("none", "gzip", "deflate"), "none", "`deflate` over HTTP only"
)
CERTIFICATE = Variable(
    f"{OTLP_PREFIX}CERTIFICATE", Part.OTLP, kinds.FILE, None, "the CA that has signed the endpoint's certificate"
)
CLIENT_KEY = Variable(f"{OTLP_PREFIX}CLIENT_KEY", Part.OTLP, kinds.SECRET_FILE, None, "the key of our own certificate")
CLIENT_CERTIFICATE = Variable(f"{OTLP_PREFIX}CLIENT_CERTIFICATE", Part.OTLP, kinds.FILE, None, "our own certificate")
INSECURE = Variable(
    f"{OTLP_PREFIX}INSECURE",
    Part.OTLP,
    kinds.BOOLEAN,
    False,  # noqa: FBT003
    "`true`: gRPC uses no TLS, if the endpoint has no scheme",
)

TRACES_EXPORTER = Variable(
    "OTEL_TRACES_EXPORTER",
    Part.TRACES,
    kinds.EXPORTERS,
    (),
    "`otlp`, `console`, or an exporter that another package registers; see [traces](traces.md)",
)
FLUSH = Variable(
    f"{PREFIX}TRACE_FLUSH_TIMEOUT",
    Part.TRACES,
    kinds.whole_number(0, 60_000, "milliseconds"),
    round(SPANS_SECONDS * 1000),
    "the longest wait for the last spans at the end of a process",
)
ID_GENERATOR = Variable(
    "OTEL_PYTHON_ID_GENERATOR", Part.TRACES, kinds.NAME, "random", "an entry point of `opentelemetry_id_generator`"
)
DISABLED = Variable(
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", Part.TRACES, kinds.NAMES, (), "`celery` in this list switches spans off"
)
LOG_CORRELATION = Variable(
    "OTEL_PYTHON_LOG_CORRELATION",
    Part.TRACES,
    kinds.BOOLEAN,
    False,  # noqa: FBT003
    "`true`, with traces on: log records carry `trace_id` and `span_id`",
)
SAMPLER = Variable(
    "OTEL_TRACES_SAMPLER",
    Part.TRACES,
    kinds.OF_THE_SDK,
    "",
    "the sampler, which chooses the traces to keep",
    "all of them",
)
SAMPLER_ARG = Variable("OTEL_TRACES_SAMPLER_ARG", Part.TRACES, kinds.OF_THE_SDK, "", "the sampler's argument")
PROPAGATORS = Variable(
    "OTEL_PROPAGATORS",
    Part.TRACES,
    kinds.all_registered("opentelemetry_propagator", any_case="none"),
    "",
    "the formats of the trace context in a message",
    "tracecontext,baggage",
)
TRACER_PROVIDER = Variable(
    "OTEL_PYTHON_TRACER_PROVIDER",
    Part.TRACES,
    kinds.registered("opentelemetry_tracer_provider"),
    "",
    "the TracerProvider that OpenTelemetry's API makes if none is set; unset it rather than set it to an empty value",
)
BATCHES = Variable("OTEL_BSP_…", Part.TRACES, kinds.OF_THE_SDK, "", "the sizes and delays of span batches", "the SDK's")

QUEUES = Variable(
    f"{PREFIX}QUEUES",
    Part.QUEUES,
    kinds.BOOLEAN,
    False,  # noqa: FBT003
    "`true`: the worker shows the lengths of its app's queues too (see [queues](queues.md)); one worker of an app is "
    "enough",
)
QUEUES_DISCOVER = Variable(
    f"{PREFIX}QUEUES_DISCOVER",
    Part.QUEUES,
    kinds.BOOLEAN,
    True,  # noqa: FBT003
    "`false`: only queues that are named are shown; else also those that Redis, or RabbitMQ's management API, lists, "
    "so that a mistyped one is found",
)
QUEUES_INTERVAL = Variable(
    f"{PREFIX}QUEUES_INTERVAL",
    Part.QUEUES,
    kinds.whole_number(1_000, 3_600_000, "milliseconds"),
    15_000,
    "from the start of one refresh to the start of the next; no figure is shown for longer than two of these",
)
QUEUES_MANAGEMENT = Variable(
    f"{PREFIX}QUEUES_MANAGEMENT_URL",
    Part.QUEUES,
    kinds.URL,
    "",
    "RabbitMQ's management API, such as `http://user:password@rabbitmq:15672`, for what AMQP does not tell",
    "not asked",
)

BUCKETS = Variable(
    f"{PREFIX}BUCKETS",
    Part.SERIES,
    kinds.BOUNDS,
    DEFAULT_BUCKETS,
    "the histograms' upper bounds, in seconds",
    "0.005 … 1800",
)
ALLOW = Variable(
    f"{PREFIX}TASKS_ALLOW",
    Part.SERIES,
    kinds.PATTERNS,
    (),
    'tasks that match none are counted together under `task_name="other"`',
)
DENY = Variable(f"{PREFIX}TASKS_DENY", Part.SERIES, kinds.PATTERNS, (), "tasks that match one are counted there too")
MAX_TASK_NAMES = Variable(
    f"{PREFIX}MAX_TASK_NAMES",
    Part.SERIES,
    kinds.whole_number(1, 100_000),
    500,
    "the most task names that get series of their own; further ones are counted as `other`",
)
MAX_EXCEPTIONS = Variable(
    f"{PREFIX}MAX_EXCEPTIONS", Part.SERIES, kinds.whole_number(1, 10_000), 50, "the same for exception classes"
)
LABEL_LENGTH = Variable(
    f"{PREFIX}LABEL_LENGTH",
    Part.SERIES,
    kinds.whole_number(8, 10_000),
    200,
    "the most characters of a label value; longer ones are cut",
)

VARIABLES: tuple[Variable[Any], ...] = tuple(each for each in list(globals().values()) if isinstance(each, Variable))
"""All variables, in the order of the table."""

OURS = tuple(each.name for each in VARIABLES if each.name.startswith(PREFIX) and each is not POOL_PORT)
"""The names of our own variables, without the pools' ports, whose names are patterns."""

SIGNALS = ("METRICS", "TRACES")

OF_THE_API = (CONTEXT, METER_PROVIDER, PROPAGATORS, TRACER_PROVIDER, RESOURCE_DETECTORS)
"""Variables that OpenTelemetry's API and SDK read when they are imported or first used; we only report mistakes."""


def names() -> Iterable[str]:
    """Yield the name of every variable that is read, including OTLP's for single signals."""
    for each in VARIABLES:
        if each not in {POOL_PORT, BATCHES}:
            yield each.name
        if each.part is Part.OTLP:
            yield from (each.of_signal(signal).name for signal in SIGNALS)
