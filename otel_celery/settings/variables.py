"""Each variable of the environment that means something here, declared once: the parser and the table follow.

Their standard meaning is the OpenTelemetry specification's
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from otel_celery.catalogue import BUCKETS as DEFAULT_BUCKETS
from otel_celery.settings import kinds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.settings.kinds import Kind
    from otel_celery.settings.reader import Reader

T = TypeVar("T")

PREFIX = "OTEL_PYTHON_CELERY_"
"""What the names of our own begin with."""

OTLP_PREFIX = "OTEL_EXPORTER_OTLP_"


class Part(Enum):
    """What a variable is about."""

    EVERYTHING = "Everything"
    PORT = "The port"
    PUSH = "Push"
    OTLP = "OTLP, for metrics and for spans"
    TRACES = "Spans"
    SERIES = "Series"


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """One variable: what it takes, what it is where it is unset, and what it means."""

    name: str
    part: Part
    takes: Kind[T]
    default: T
    meaning: str
    shown: str | None = None
    """The default in words, where it is not the value itself."""

    def read(self, reader: Reader, default: T | None = None) -> T:
        """Read it, with another default where that depends on others.

        Raises SettingsError where its value is not allowed.
        """
        return self.takes.read(reader, self.name, self.default if default is None else default)

    def is_set(self, reader: Reader) -> bool:
        """Tell whether it has any value."""
        return reader.text(self.name) is not None

    def of_signal(self, signal: str) -> Variable[T]:
        """Give one signal's own variable of OTLP's, which wins over the general one."""
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
    "`prometheus` serves the port; `otlp` and `console` push, and so does whatever a package registers under that name",
)
CHILD_METRICS = Variable(
    f"{PREFIX}CHILD_METRICS",
    Part.EVERYTHING,
    kinds.BOOLEAN,
    True,  # noqa: FBT003
    "`false`: what tasks record themselves with OpenTelemetry is not exported (see [your own metrics](own-metrics.md))",
)
CONTEXT = Variable(
    "OTEL_PYTHON_CONTEXT",
    Part.EVERYTHING,
    kinds.registered("opentelemetry_context", may_be_empty=True, is_made=True),
    "",
    "how OpenTelemetry's API keeps what is current",
    "contextvars_context",
)
METER_PROVIDER = Variable(
    "OTEL_PYTHON_METER_PROVIDER",
    Part.EVERYTHING,
    kinds.registered("opentelemetry_meter_provider"),
    "",
    "what OpenTelemetry's API makes where nobody has set a MeterProvider; to be unset rather than empty",
)
RESOURCE_DETECTORS = Variable(
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
    Part.EVERYTHING,
    kinds.all_registered("opentelemetry_resource_detector", every="*"),
    "",
    "who else describes the process in `target_info` and in what is pushed",
    "nobody",
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
    "the port; wins over OTEL_EXPORTER_PROMETHEUS_PORT; alone it enables nothing. What Kubernetes sets for a Service "
    "called `prometheus` (`tcp://…`) is ignored, and said",
    "",
)
HOST = Variable(
    "OTEL_EXPORTER_PROMETHEUS_HOST",
    Part.PORT,
    kinds.HOST,
    "localhost",
    "the address to listen on; on the loopback a request has to name this host, `localhost`, `host.docker.internal` or "
    "an address as its `Host`, so that no website reads the port through a browser: a proxy in front sends "
    "`Host: localhost`",
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
    "one credential a line: `user:password`, or a bearer token, as they are: a hash of htpasswd's is refused, for each "
    "check of one would take the worker a tenth of a second. A file that every user may read is warned of",
)
POOL_PORT = Variable(
    f"{PREFIX}POOL_<NAME>_PORT", Part.PORT, kinds.PORT, 9464, "the port of one pool of the pools file", "the file's"
)

INTERVAL = Variable(
    "OTEL_METRIC_EXPORT_INTERVAL",
    Part.PUSH,
    kinds.MILLISECONDS,
    60_000,
    "from the start of one export to that of the next",
)
TIMEOUT = Variable("OTEL_METRIC_EXPORT_TIMEOUT", Part.PUSH, kinds.MILLISECONDS, 30_000, "for one export")
TEMPORALITY = Variable(
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    Part.PUSH,
    kinds.choice("cumulative", "delta", "lowmemory"),
    "cumulative",
    "what OTLP's counters and histograms count from",
)
AGGREGATION = Variable(
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    Part.PUSH,
    kinds.choice("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
    "explicit_bucket_histogram",
    "the shape of OTLP's histograms",
)
EXEMPLARS = Variable(
    "OTEL_METRICS_EXEMPLAR_FILTER",
    Part.PUSH,
    kinds.choice("trace_based", "always_on", "always_off"),
    "",
    "to set one of the first two asks for exemplars",
)

ENDPOINT = Variable(
    f"{OTLP_PREFIX}ENDPOINT", Part.OTLP, kinds.URL, "", "where to", "`http://localhost:4318`, and 4317 for gRPC"
)
PROTOCOL = Variable(f"{OTLP_PREFIX}PROTOCOL", Part.OTLP, kinds.choice("grpc", "http/protobuf"), "http/protobuf", "how")
HEADERS = Variable(f"{OTLP_PREFIX}HEADERS", Part.OTLP, kinds.PAIRS, (), "sent with each request; they may hold secrets")
OTLP_TIMEOUT = Variable(
    f"{OTLP_PREFIX}TIMEOUT", Part.OTLP, kinds.MILLISECONDS, 10_000, "for one request with its repetitions"
)
COMPRESSION = Variable(
    f"{OTLP_PREFIX}COMPRESSION", Part.OTLP, kinds.choice("none", "gzip", "deflate"), "none", "`deflate` over HTTP alone"
)
CERTIFICATE = Variable(f"{OTLP_PREFIX}CERTIFICATE", Part.OTLP, kinds.FILE, None, "whom the endpoint's is signed by")
CLIENT_KEY = Variable(f"{OTLP_PREFIX}CLIENT_KEY", Part.OTLP, kinds.SECRET_FILE, None, "the key of our own certificate")
CLIENT_CERTIFICATE = Variable(f"{OTLP_PREFIX}CLIENT_CERTIFICATE", Part.OTLP, kinds.FILE, None, "our own certificate")
INSECURE = Variable(
    f"{OTLP_PREFIX}INSECURE",
    Part.OTLP,
    kinds.BOOLEAN,
    False,  # noqa: FBT003
    "`true`: gRPC goes without TLS, where the endpoint's scheme does not say",
)

TRACES_EXPORTER = Variable(
    "OTEL_TRACES_EXPORTER",
    Part.TRACES,
    kinds.EXPORTERS,
    (),
    "`otlp`, `console`, or what a package registers; see [traces](traces.md)",
)
FLUSH = Variable(
    f"{PREFIX}TRACE_FLUSH_TIMEOUT",
    Part.TRACES,
    kinds.whole_number(0, 60_000, "milliseconds"),
    500,
    "how long the end of a process waits for its last spans",
)
ID_GENERATOR = Variable(
    "OTEL_PYTHON_ID_GENERATOR", Part.TRACES, kinds.NAME, "random", "an entry point of `opentelemetry_id_generator`"
)
DISABLED = Variable(
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", Part.TRACES, kinds.NAMES, (), "with `celery` in it no spans are made"
)
LOG_CORRELATION = Variable(
    "OTEL_PYTHON_LOG_CORRELATION",
    Part.TRACES,
    kinds.BOOLEAN,
    False,  # noqa: FBT003
    "`true`, with traces on: log records carry `trace_id` and `span_id`",
)
SAMPLER = Variable("OTEL_TRACES_SAMPLER", Part.TRACES, kinds.OF_THE_SDK, "", "which traces are kept", "all of them")
SAMPLER_ARG = Variable("OTEL_TRACES_SAMPLER_ARG", Part.TRACES, kinds.OF_THE_SDK, "", "the sampler's argument")
PROPAGATORS = Variable(
    "OTEL_PROPAGATORS",
    Part.TRACES,
    kinds.all_registered("opentelemetry_propagator", any_case="none"),
    "",
    "how a message carries its trace",
    "tracecontext,baggage",
)
TRACER_PROVIDER = Variable(
    "OTEL_PYTHON_TRACER_PROVIDER",
    Part.TRACES,
    kinds.registered("opentelemetry_tracer_provider"),
    "",
    "what OpenTelemetry's API makes where nobody has set a TracerProvider; to be unset rather than empty",
)
BATCHES = Variable(
    "OTEL_BSP_…", Part.TRACES, kinds.OF_THE_SDK, "", "how spans are put together for an export", "the SDK's"
)

BUCKETS = Variable(
    f"{PREFIX}BUCKETS", Part.SERIES, kinds.BOUNDS, DEFAULT_BUCKETS, "the histograms' bounds", "0.005 … 1800"
)
ALLOW = Variable(
    f"{PREFIX}TASKS_ALLOW",
    Part.SERIES,
    kinds.PATTERNS,
    (),
    'tasks that match none are counted together under `task_name="other"`',
)
DENY = Variable(f"{PREFIX}TASKS_DENY", Part.SERIES, kinds.PATTERNS, (), "tasks that match one are, too")
MAX_TASK_NAMES = Variable(
    f"{PREFIX}MAX_TASK_NAMES",
    Part.SERIES,
    kinds.whole_number(1, 100_000),
    500,
    "how many task names get series of their own; the rest is `other`",
)
MAX_EXCEPTIONS = Variable(
    f"{PREFIX}MAX_EXCEPTIONS", Part.SERIES, kinds.whole_number(1, 10_000), 50, "how many exception classes"
)
LABEL_LENGTH = Variable(
    f"{PREFIX}LABEL_LENGTH",
    Part.SERIES,
    kinds.whole_number(8, 10_000),
    200,
    "where label values are cut, in characters",
)

VARIABLES: tuple[Variable[Any], ...] = tuple(each for each in list(globals().values()) if isinstance(each, Variable))
"""All of them, in the order of the table."""

OURS = tuple(each.name for each in VARIABLES if each.name.startswith(PREFIX) and each is not POOL_PORT)
"""The names that are ours alone, and complete."""

SIGNALS = ("METRICS", "TRACES")

OF_THE_API = (CONTEXT, METER_PROVIDER, PROPAGATORS, TRACER_PROVIDER, RESOURCE_DETECTORS)
"""Read by OpenTelemetry's API or SDK as it is imported or first used, and by us only to say what is wrong with them."""


def names() -> Iterable[str]:
    """List every name that is read, those of OTLP's single signals among them."""
    for each in VARIABLES:
        if each not in {POOL_PORT, BATCHES}:
            yield each.name
        if each.part is Part.OTLP:
            yield from (each.of_signal(signal).name for signal in SIGNALS)
