"""The environment, read once: a mapping becomes frozen Settings, or one sentence that says what is wrong.

No other module reads ``os.environ``; this one only reads what it is given.
The table of variables stands in README; their standard meaning is the OpenTelemetry specification's
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from otel_celery import pushing, tracing
from otel_celery.catalogue import BUCKETS
from otel_celery.variables import Reader, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["EX_CONFIG", "TLS", "Bounds", "Port", "Settings", "SettingsError", "is_strict", "read"]

DEFAULT_PORT = 9464
"""The OpenTelemetry specification's default for OTEL_EXPORTER_PROMETHEUS_PORT."""

MAX_BUCKETS = 60

EX_CONFIG = 78
"""sysexits.h: how a strict worker ends on bad configuration or a taken port, and every command on the former."""

PREFIX = "OTEL_PYTHON_CELERY_"


@dataclass(frozen=True, slots=True)
class TLS:
    """The files that the port's TLS is made from; ``client_ca`` asks clients for a certificate signed by it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """Where the metrics are served, and who may read them."""

    host: str = "localhost"
    number: int = DEFAULT_PORT
    tls: TLS | None = None
    credentials: Path | None = None
    standard: int = DEFAULT_PORT
    """OTEL_EXPORTER_PROMETHEUS_PORT: what the SDK's own Prometheus entry point binds, where it is loaded."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many series there may be at most, and how long a label's value."""

    task_names: int = 500
    exceptions: int = 50
    label_length: int = 200
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment says of us."""

    port: Port | None = None
    """None: no port is served."""
    push: pushing.Push | None = None
    """None: OTEL_METRICS_EXPORTER names nothing besides ``prometheus`` and ``none``."""
    buckets: tuple[float, ...] = BUCKETS
    bounds: Bounds = Bounds()
    strict: bool = False
    warnings: tuple[str, ...] = ()
    """Sentences about variables that look like ours and are not."""
    traces: tracing.Traces | None = None
    """None: no spans are made."""
    child_metrics: bool = True
    """Whether what tasks record with OpenTelemetry is exported with the rest, from pool children as well."""

    @property
    def enabled(self) -> bool:
        """Tell whether there is anybody to record metrics for."""
        return self.port is not None or self.push is not None


def read(environ: Mapping[str, str]) -> Settings:
    """Make Settings of an environment.

    Raises SettingsError on the first value that is not allowed.
    """
    reader = Reader(environ)
    strict = reader.boolean(f"{PREFIX}STRICT", default=False)
    if reader.boolean("OTEL_SDK_DISABLED", default=False):
        return Settings(strict=strict)
    exporters = _exporters(reader)
    push = pushing.push(reader, tuple(name for name in exporters if name != "prometheus"))
    spans = tracing.traces(reader)
    pushed = [signal for signal, asked_for in (("METRICS", push), ("TRACES", spans)) if asked_for is not None]
    return Settings(
        port=_port(reader) if "prometheus" in exporters else None,
        push=push,
        traces=spans,
        buckets=_buckets(reader),
        bounds=_bounds(reader),
        child_metrics=reader.boolean(f"{PREFIX}CHILD_METRICS", default=True),
        strict=strict,
        warnings=(*_unknown(environ), *(pushing.short_timeouts(reader, pushed) if pushed else ())),
    )


def traces(environ: Mapping[str, str]) -> tracing.Traces | None:
    """Read what concerns spans alone: all that a process that only publishes needs.

    Raises SettingsError on the first value that is not allowed.
    """
    reader = Reader(environ)
    return None if reader.boolean("OTEL_SDK_DISABLED", default=False) else tracing.traces(reader)


def is_strict(environ: Mapping[str, str]) -> bool:
    """Tell whether a mistake is to end the worker, even where the rest of the environment cannot be read."""
    return environ.get(f"{PREFIX}STRICT", "").strip().lower() == "true"


def _exporters(reader: Reader) -> tuple[str, ...]:
    names = reader.names("OTEL_METRICS_EXPORTER")
    if "none" in names and len(names) > 1:
        raise SettingsError("OTEL_METRICS_EXPORTER", ",".join(names), "none alone, or exporters without none")
    enabled = reader.text("PROMETHEUS_ENABLED")
    if enabled is not None:
        wanted = reader.boolean("PROMETHEUS_ENABLED", default=False)
        names = (*(n for n in names if n not in {"prometheus", "none"}), *(("prometheus",) if wanted else ()))
    return tuple(dict.fromkeys(n for n in names if n != "none"))


def _port(reader: Reader) -> Port:
    standard = reader.integer("OTEL_EXPORTER_PROMETHEUS_PORT", default=DEFAULT_PORT, low=1, high=65535)
    return Port(
        host=reader.text("OTEL_EXPORTER_PROMETHEUS_HOST") or "localhost",
        number=reader.integer("PROMETHEUS_PORT", default=standard, low=1, high=65535),
        standard=standard,
        tls=_tls(reader),
        credentials=reader.file(f"{PREFIX}CREDENTIALS_FILE"),
    )


def _tls(reader: Reader) -> TLS | None:
    cert, key, client_ca = f"{PREFIX}TLS_CERT_FILE", f"{PREFIX}TLS_KEY_FILE", f"{PREFIX}TLS_CLIENT_CA_FILE"
    for given, needed in ((cert, key), (key, cert), (client_ca, cert)):
        if reader.text(given) and not reader.text(needed):
            raise SettingsError(needed, "", f"set when {given} is")
    certificate, private = reader.file(cert), reader.file(key)
    if certificate is None or private is None:
        return None
    return TLS(certificate, private, reader.file(client_ca))


def _buckets(reader: Reader) -> tuple[float, ...]:
    variable = f"{PREFIX}BUCKETS"
    value = reader.text(variable)
    if value is None:
        return BUCKETS
    allowed = f"at most {MAX_BUCKETS} increasing positive numbers of seconds, comma-separated"
    try:
        bounds = tuple(float(bound) for bound in value.split(","))
    except ValueError:
        raise SettingsError(variable, value, allowed) from None
    rising = all(low < high for low, high in pairwise(bounds))
    if len(bounds) > MAX_BUCKETS or not rising or not all(b > 0 and math.isfinite(b) for b in bounds):
        raise SettingsError(variable, value, allowed)
    return bounds


def _bounds(reader: Reader) -> Bounds:
    return Bounds(
        task_names=reader.integer(f"{PREFIX}MAX_TASK_NAMES", default=500, low=1, high=100_000),
        exceptions=reader.integer(f"{PREFIX}MAX_EXCEPTIONS", default=50, low=1, high=10_000),
        label_length=reader.integer(f"{PREFIX}LABEL_LENGTH", default=200, low=8, high=10_000),
        allow=reader.names(f"{PREFIX}TASKS_ALLOW"),
        deny=reader.names(f"{PREFIX}TASKS_DENY"),
    )


_OURS = tuple(
    f"{PREFIX}{name}"
    for name in (
        "BUCKETS",
        "CHILD_METRICS",
        "TASKS_ALLOW",
        "TASKS_DENY",
        "MAX_TASK_NAMES",
        "MAX_EXCEPTIONS",
        "LABEL_LENGTH",
        "TLS_CERT_FILE",
        "TLS_KEY_FILE",
        "TLS_CLIENT_CA_FILE",
        "CREDENTIALS_FILE",
        "TRACE_FLUSH_TIMEOUT",
        "STRICT",
    )
)


def _unknown(environ: Mapping[str, str]) -> tuple[str, ...]:
    sentences = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in _OURS or _is_pool_port(name):
            continue
        near = difflib.get_close_matches(name, _OURS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        sentences.append(f"{name} is not a setting of otel-celery and was ignored{hint}")
    return tuple(sentences)


def _is_pool_port(name: str) -> bool:
    pool = name.removeprefix(f"{PREFIX}POOL_")
    return pool != name and len(pool) > len("_PORT") and pool.endswith("_PORT")
