"""The environment, read once: a mapping becomes frozen Settings, or one sentence that says what is wrong.

No other module reads ``os.environ``; this one only reads what it is given.
The table of variables stands in docs/settings.md; their standard meaning is the OpenTelemetry specification's
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import difflib
import fnmatch
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from otel_celery.catalogue import BUCKETS
from otel_celery.masking import plain
from otel_celery.settings import credentials, files, otlp
from otel_celery.settings import push as pushing
from otel_celery.settings import traces as tracing
from otel_celery.settings.variables import Reader, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ENDS", "EX_CONFIG", "TLS", "Bounds", "Port", "Settings", "SettingsError", "is_strict", "read"]

DEFAULT_PORT = 9464
"""The OpenTelemetry specification's default for OTEL_EXPORTER_PROMETHEUS_PORT."""

MAX_BUCKETS = 60

MAX_WARNINGS = 10
"""Unknown variables that are named one by one."""

_SERVICE = "_SERVICE_HOST"
"""What Kubernetes gives each Service, beside variables that begin alike."""

EX_CONFIG = 78
"""sysexits.h: how a strict worker ends on bad configuration or a taken port, and every command on the former."""

ENDS = f"; the worker ends (strict, status {EX_CONFIG})"
"""The end of the last sentence of a strict worker, whose log has nothing else to tell why it is gone."""

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
    port = _port(reader) if "prometheus" in exporters else None
    push = pushing.push(reader, tuple(name for name in exporters if name != "prometheus"))
    spans = tracing.traces(reader)
    pushed = [signal for signal, asked_for in (("METRICS", push), ("TRACES", spans)) if asked_for is not None]
    return Settings(
        port=port,
        push=push,
        traces=spans,
        buckets=_buckets(reader),
        bounds=_bounds(reader),
        child_metrics=reader.boolean(f"{PREFIX}CHILD_METRICS", default=True),
        strict=strict,
        warnings=(
            *reader.ignored,
            *_open_to_others(port),
            *_unknown(environ),
            *(otlp.short_timeouts(reader, pushed) if pushed else ()),
        ),
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
    names = reader.exporters("OTEL_METRICS_EXPORTER")
    enabled = reader.text("PROMETHEUS_ENABLED")
    if enabled is not None:
        wanted = reader.boolean("PROMETHEUS_ENABLED", default=False)
        names = (*(n for n in names if n not in {"prometheus", "none"}), *(("prometheus",) if wanted else ()))
    return tuple(name for name in names if name != "none")


def _port(reader: Reader) -> Port:
    standard = reader.port("OTEL_EXPORTER_PROMETHEUS_PORT", default=DEFAULT_PORT)
    return Port(
        host=reader.host("OTEL_EXPORTER_PROMETHEUS_HOST", default="localhost"),
        number=reader.port("PROMETHEUS_PORT", default=standard),
        standard=standard,
        tls=_tls(reader),
        credentials=_credentials(reader),
    )


def _tls(reader: Reader) -> TLS | None:
    cert, key, client_ca = f"{PREFIX}TLS_CERT_FILE", f"{PREFIX}TLS_KEY_FILE", f"{PREFIX}TLS_CLIENT_CA_FILE"
    for given, needed in ((cert, key), (key, cert), (client_ca, cert)):
        if reader.text(given) and not reader.text(needed):
            raise SettingsError(needed, "", f"set when {given} is")
    certificate, private = reader.file(cert), reader.file(key, is_secret=True)
    if certificate is None or private is None:
        return None
    return TLS(certificate, private, reader.file(client_ca))


def _credentials(reader: Reader) -> Path | None:
    """Refuse a file that a client could not be admitted by, as long as somebody looks; later the port's log says it."""
    variable = f"{PREFIX}CREDENTIALS_FILE"
    path = reader.file(variable, is_secret=True)
    if path is not None:
        try:
            credentials.read(path)
        except (OSError, credentials.UnusableError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SettingsError(variable, str(path), f"a file of credentials ({why})") from None
    return path


def _open_to_others(port: Port | None) -> tuple[str, ...]:
    """Warn of the files with secrets that every user of the machine may read."""
    secrets = () if port is None else (port.credentials, port.tls.key if port.tls else None)
    return tuple(
        plain(f"{path} holds secrets, and every user of this machine may read it: chmod o-r (Kubernetes: defaultMode)")
        for path in secrets
        if path is not None and files.is_open_to_others(path)
    )


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


def _patterns(reader: Reader, variable: str) -> tuple[str, ...]:
    """Read patterns as fnmatch takes them, which is as long as they can be made a regular expression."""
    patterns = reader.names(variable)
    try:
        for pattern in patterns:
            re.compile(fnmatch.translate(pattern))
    except (re.error, OverflowError, RecursionError):
        raise SettingsError(variable, ",".join(patterns), "patterns as of fnmatch, comma-separated") from None
    return patterns


def _bounds(reader: Reader) -> Bounds:
    return Bounds(
        task_names=reader.integer(f"{PREFIX}MAX_TASK_NAMES", default=500, low=1, high=100_000),
        exceptions=reader.integer(f"{PREFIX}MAX_EXCEPTIONS", default=50, low=1, high=10_000),
        label_length=reader.integer(f"{PREFIX}LABEL_LENGTH", default=200, low=8, high=10_000),
        allow=_patterns(reader, f"{PREFIX}TASKS_ALLOW"),
        deny=_patterns(reader, f"{PREFIX}TASKS_DENY"),
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
    strange = sorted(name for name in environ if _is_strange(name, environ))
    sentences = []
    for name in strange[:MAX_WARNINGS]:
        near = difflib.get_close_matches(name[:100], _OURS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        sentences.append(f"{plain(name, 100)} is not a setting of otel-celery and was ignored{hint}")
    if len(strange) > MAX_WARNINGS:
        sentences.append(
            f"{len(strange) - MAX_WARNINGS} more variables are not settings of otel-celery and were ignored"
        )
    return tuple(sentences)


def _is_strange(name: str, environ: Mapping[str, str]) -> bool:
    """Tell whether a variable looks like ours, and is neither that nor about a Service that is called like us."""
    if not name.startswith(PREFIX) or name in _OURS or _is_pool_port(name):
        return False
    services = (other.removesuffix(_SERVICE) for other in environ if other.endswith(_SERVICE))
    return not any(name.startswith((f"{service}_SERVICE_", f"{service}_PORT")) for service in services)


def _is_pool_port(name: str) -> bool:
    pool = name.removeprefix(f"{PREFIX}POOL_")
    return pool != name and len(pool) > len("_PORT") and pool.endswith("_PORT")
