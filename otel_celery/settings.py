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
from pathlib import Path
from typing import TYPE_CHECKING

from otel_celery.catalogue import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PORT = 9464
"""The OpenTelemetry specification's default for OTEL_EXPORTER_PROMETHEUS_PORT."""

MAX_BUCKETS = 60

PREFIX = "OTEL_PYTHON_CELERY_"


class SettingsError(ValueError):
    """A variable has a value that is not allowed; the message is one sentence for the operator."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        """Name the variable, the value it has, and what is allowed."""
        self.variable = variable
        super().__init__(f"{variable}={value!r} is not allowed: it must be {allowed}")


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
    exporters: tuple[str, ...] = ()
    """The names in OTEL_METRICS_EXPORTER besides ``prometheus`` and ``none``."""
    buckets: tuple[float, ...] = BUCKETS
    bounds: Bounds = Bounds()
    strict: bool = False
    warnings: tuple[str, ...] = ()
    """Sentences about variables that look like ours and are not."""
    child_metrics: bool = True
    """Whether what tasks record with OpenTelemetry is exported with the rest, from pool children as well."""

    @property
    def enabled(self) -> bool:
        """Tell whether there is anybody to record for."""
        return self.port is not None or bool(self.exporters)


def read(environ: Mapping[str, str]) -> Settings:
    """Make Settings of an environment.

    Raises SettingsError on the first value that is not allowed.
    """
    reader = _Reader(environ)
    strict = reader.boolean(f"{PREFIX}STRICT", default=False)
    if reader.boolean("OTEL_SDK_DISABLED", default=False):
        return Settings(strict=strict)
    exporters = _exporters(reader)
    return Settings(
        port=_port(reader) if "prometheus" in exporters else None,
        exporters=tuple(name for name in exporters if name != "prometheus"),
        buckets=_buckets(reader),
        bounds=_bounds(reader),
        child_metrics=reader.boolean(f"{PREFIX}CHILD_METRICS", default=True),
        strict=strict,
        warnings=_unknown(environ),
    )


def is_strict(environ: Mapping[str, str]) -> bool:
    """Tell whether a mistake is to end the worker, even where the rest of the environment cannot be read."""
    return environ.get(f"{PREFIX}STRICT", "").strip().lower() == "true"


class _Reader:
    """Reads single values; an empty one counts as unset, as OpenTelemetry's specification demands."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, variable: str) -> str | None:
        return self._environ.get(variable, "").strip() or None

    def boolean(self, variable: str, *, default: bool) -> bool:
        value = self.text(variable)
        if value is None:
            return default
        if value.lower() not in {"true", "false"}:
            raise SettingsError(variable, value, "true or false")
        return value.lower() == "true"

    def integer(self, variable: str, *, default: int, low: int, high: int) -> int:
        value = self.text(variable)
        if value is None:
            return default
        digits = value.lstrip("0") if value.isascii() and value.isdigit() else ""
        if len(digits) > len(str(high)) or not low <= int(digits or -1) <= high:  # int() itself refuses very long ones
            raise SettingsError(variable, value, f"a whole number from {low} to {high}")
        return int(value)

    def names(self, variable: str) -> tuple[str, ...]:
        value = self.text(variable)
        return tuple(name.strip() for name in value.split(",") if name.strip()) if value else ()

    def file(self, variable: str) -> Path | None:
        value = self.text(variable)
        if value is None:
            return None
        path = Path(value)
        try:
            with path.open("rb"):
                return path
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SettingsError(variable, value, f"a file that this process can read ({reason})") from None


def _exporters(reader: _Reader) -> tuple[str, ...]:
    names = reader.names("OTEL_METRICS_EXPORTER")
    if "none" in names and len(names) > 1:
        raise SettingsError("OTEL_METRICS_EXPORTER", ",".join(names), "none alone, or exporters without none")
    enabled = reader.text("PROMETHEUS_ENABLED")
    if enabled is not None:
        wanted = reader.boolean("PROMETHEUS_ENABLED", default=False)
        names = (*(n for n in names if n not in {"prometheus", "none"}), *(("prometheus",) if wanted else ()))
    return tuple(dict.fromkeys(n for n in names if n != "none"))


def _port(reader: _Reader) -> Port:
    standard = reader.integer("OTEL_EXPORTER_PROMETHEUS_PORT", default=DEFAULT_PORT, low=1, high=65535)
    return Port(
        host=reader.text("OTEL_EXPORTER_PROMETHEUS_HOST") or "localhost",
        number=reader.integer("PROMETHEUS_PORT", default=standard, low=1, high=65535),
        standard=standard,
        tls=_tls(reader),
        credentials=reader.file(f"{PREFIX}CREDENTIALS_FILE"),
    )


def _tls(reader: _Reader) -> TLS | None:
    cert, key, client_ca = f"{PREFIX}TLS_CERT_FILE", f"{PREFIX}TLS_KEY_FILE", f"{PREFIX}TLS_CLIENT_CA_FILE"
    for given, needed in ((cert, key), (key, cert), (client_ca, cert)):
        if reader.text(given) and not reader.text(needed):
            raise SettingsError(needed, "", f"set when {given} is")
    certificate, private = reader.file(cert), reader.file(key)
    if certificate is None or private is None:
        return None
    return TLS(certificate, private, reader.file(client_ca))


def _buckets(reader: _Reader) -> tuple[float, ...]:
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


def _bounds(reader: _Reader) -> Bounds:
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
