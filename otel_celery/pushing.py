"""What the environment says of pushing: to whom, how often, and OTLP's own variables, which have names by signal.

``OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`` beats ``OTEL_EXPORTER_OTLP_ENDPOINT``, and so on
(https://opentelemetry.io/docs/specs/otel/protocol/exporter/). Headers are the one thing that the exporters read
themselves: they may hold secrets, and are only looked at here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otel_celery.variables import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from otel_celery.variables import Reader

HTTP, GRPC = "http/protobuf", "grpc"

OTLP = {"otlp": None, "otlp_proto_http": HTTP, "otlp_proto_grpc": GRPC}
"""The names in an exporters' list that mean OTLP, and the protocol where the name says it."""

CUMULATIVE = "cumulative"
TEMPORALITIES = (CUMULATIVE, "delta", "lowmemory")
AGGREGATIONS = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
COMPRESSIONS = {HTTP: ("none", "gzip", "deflate"), GRPC: ("none", "gzip")}
FILTERS = ("trace_based", "always_on", "always_off")

SHORT_TIMEOUT = 100
"""Milliseconds below which a timeout looks as if it was meant in seconds, as Python's exporters read it."""

_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~\w]+\s*=.*")


@dataclass(frozen=True, slots=True)
class Otlp:
    """How one signal leaves by OTLP."""

    protocol: str
    endpoint: str
    """The whole URL; a gRPC endpoint may be without a scheme."""
    timeout: float
    """In seconds, for one export with its repetitions."""
    compression: str
    is_insecure: bool
    """Whether gRPC goes without TLS."""
    certificate: Path | None = None
    client_key: Path | None = None
    client_certificate: Path | None = None

    @property
    def place(self) -> str:
        """Name the endpoint without the credentials that its URL may hold."""
        before, at, after = self.endpoint.rpartition("@")
        return f"{before.partition('//')[0]}//{after}" if at and "//" in before else after


@dataclass(frozen=True, slots=True)
class Exporter:
    """One exporter that a signal is pushed to."""

    name: str
    """As the signal's variable names it."""
    otlp: Otlp | None = None
    signal: str = "metrics"

    @property
    def group(self) -> str:
        """Name the group of its entry point."""
        return f"opentelemetry_{self.signal}_exporter"

    @property
    def entry_point(self) -> str:
        """Name its entry point."""
        if self.otlp is None:
            return self.name
        return "otlp_proto_grpc" if self.is_grpc else "otlp_proto_http"

    @property
    def is_grpc(self) -> bool:
        """Tell whether it speaks gRPC, which does not like to be forked."""
        return self.otlp is not None and self.otlp.protocol == GRPC

    @property
    def place(self) -> str:
        """Name it for the log: an exporter, and where it sends to if that is known."""
        return self.name if self.otlp is None else f"{self.otlp.place} ({self.otlp.protocol})"

    @property
    def missing(self) -> str:
        """Say in one sentence what to do where nothing that is installed offers it."""
        names = f"OTEL_{self.signal.upper()}_EXPORTER names {self.name!r}"
        if self.otlp is None:
            return f"{names}, which no installed package registers under the entry point group {self.group}"
        extra = "otlp-grpc" if self.is_grpc else "otlp"
        return f"{names}, whose package for {self.otlp.protocol} is not installed: pip install 'otel-celery[{extra}]'"


@dataclass(frozen=True, slots=True)
class Push:
    """Whom the metrics are pushed to, and how."""

    exporters: tuple[Exporter, ...]
    interval: float = 60.0
    """The seconds from the start of one export to the start of the next."""
    timeout: float = 30.0
    """The seconds that an export may take at most."""
    temporality: str = CUMULATIVE
    """What OTLP's counters and histograms count from: cumulative, delta or lowmemory."""
    is_exponential: bool = False
    """Whether OTLP's histograms have exponential buckets."""
    exemplars: str | None = None
    """OTEL_METRICS_EXEMPLAR_FILTER, where it is set."""

    @property
    def needs_sdk(self) -> bool:
        """Tell whether the SDK must record the histograms, since an exporter wants them in a shape of its own."""
        is_known = all(exporter.otlp or exporter.name == "console" for exporter in self.exporters)
        has_otlp = any(exporter.otlp for exporter in self.exporters)
        is_shaped = has_otlp and (self.temporality != CUMULATIVE or self.is_exponential)
        return not is_known or is_shaped or self.exemplars in {"trace_based", "always_on"}

    @property
    def has_exemplars(self) -> bool:
        """Tell whether observations are to be recorded in the context of their message's trace."""
        return self.needs_sdk and self.exemplars != "always_off"


def push(reader: Reader, names: tuple[str, ...]) -> Push | None:
    """Read how the metrics are pushed to the exporters of these names; None without any.

    Raises SettingsError on the first value that is not allowed.
    """
    if not names:
        return None
    aggregation = reader.choice(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", AGGREGATIONS, default=AGGREGATIONS[0]
    )
    exemplars = reader.choice("OTEL_METRICS_EXEMPLAR_FILTER", FILTERS, default="")
    return Push(
        tuple(Exporter(name, otlp(reader, "METRICS", OTLP[name]) if name in OTLP else None) for name in names),
        interval=reader.milliseconds("OTEL_METRIC_EXPORT_INTERVAL", default=60_000),
        timeout=reader.milliseconds("OTEL_METRIC_EXPORT_TIMEOUT", default=30_000),
        temporality=reader.choice(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", TEMPORALITIES, default=CUMULATIVE
        ),
        is_exponential=aggregation != AGGREGATIONS[0],
        exemplars=exemplars or None,
    )


def otlp(reader: Reader, signal: str, protocol: str | None = None) -> Otlp:
    """Read how a signal (METRICS, TRACES) leaves by OTLP, by the protocol given or the one that the variables name."""
    general = "OTEL_EXPORTER_OTLP_"

    def variable(name: str) -> str:
        """Name the signal's own variable where it is set, else that of all signals."""
        own = f"{general}{signal}_{name}"
        return own if reader.text(own) else f"{general}{name}"

    protocol = protocol or reader.choice(variable("PROTOCOL"), (GRPC, HTTP), default=HTTP)
    _look_at_headers(reader, variable("HEADERS"))
    endpoint = _endpoint(reader, variable("ENDPOINT"), protocol)
    if protocol == HTTP and not reader.text(f"{general}{signal}_ENDPOINT"):
        endpoint = f"{endpoint.rstrip('/')}/v1/{signal.lower()}"
    scheme = endpoint.partition("://")[0] if "://" in endpoint else None
    return Otlp(
        protocol,
        endpoint,
        timeout=reader.milliseconds(variable("TIMEOUT"), default=10_000),
        compression=reader.choice(variable("COMPRESSION"), COMPRESSIONS[protocol], default="none"),
        is_insecure=scheme == "http" if scheme else reader.boolean(variable("INSECURE"), default=False),
        certificate=reader.file(variable("CERTIFICATE")),
        client_key=reader.file(variable("CLIENT_KEY")),
        client_certificate=reader.file(variable("CLIENT_CERTIFICATE")),
    )


def short_timeouts(reader: Reader, signals: Iterable[str]) -> tuple[str, ...]:
    """Say which timeouts, of these signals or of all, look as if they were meant in seconds."""
    names = (*(f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT" for signal in signals), "OTEL_EXPORTER_OTLP_TIMEOUT")
    found = {name: reader.text(name) or "" for name in names}
    return tuple(
        f"{name}={value} is read as milliseconds, as OpenTelemetry's specification says; for seconds write {value}000"
        for name, value in found.items()
        if value.isascii() and value.isdigit() and 0 < int(value) < SHORT_TIMEOUT
    )


def _endpoint(reader: Reader, variable: str, protocol: str) -> str:
    value = reader.text(variable)
    if value is None:
        return "http://localhost:4317" if protocol == GRPC else "http://localhost:4318"
    try:
        url = urlsplit(value if "://" in value else f"//{value}")
        is_place = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        is_place = False
    else:
        is_place = is_place and url.scheme in ({"http", "https", ""} if protocol == GRPC else {"http", "https"})
    if not is_place:
        raise SettingsError(variable, value, "a URL that begins with http:// or https://")
    return value


def _look_at_headers(reader: Reader, variable: str) -> None:
    """Refuse headers that the exporter would leave out; their values are secrets, and never shown."""
    for item in reader.names(variable):
        if not _HEADER.fullmatch(item):
            raise SettingsError(variable, "***", "name=value pairs, comma-separated, with values percent-encoded")
