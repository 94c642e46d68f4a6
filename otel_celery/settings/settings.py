"""The environment, read once: a mapping becomes frozen Settings, or one sentence that says what is wrong.

No other module reads ``os.environ``; this one only reads what it is given.
Which variables there are is declared in ``variables``; the table in docs/settings.md is made of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.masking import plain
from otel_celery.settings import credentials, files, misspelt, otlp, variables
from otel_celery.settings import push as pushing
from otel_celery.settings import traces as tracing
from otel_celery.settings.reader import Reader, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ENDS", "EX_CONFIG", "TLS", "Bounds", "Port", "Settings", "SettingsError", "is_strict", "read"]

EX_CONFIG = 78
"""sysexits.h: how a strict worker ends on bad configuration or a taken port, and every command on the former."""

ENDS = f"; the worker ends (strict, status {EX_CONFIG})"
"""The end of the last sentence of a strict worker, whose log has nothing else to tell why it is gone."""


@dataclass(frozen=True, slots=True)
class TLS:
    """The files that the port's TLS is made from; ``client_ca`` asks clients for a certificate signed by it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """Where the metrics are served, and who may read them."""

    host: str = variables.HOST.default
    number: int = variables.OTEL_PORT.default
    tls: TLS | None = None
    credentials: Path | None = None
    standard: int = variables.OTEL_PORT.default
    """OTEL_EXPORTER_PROMETHEUS_PORT: what the SDK's own Prometheus entry point binds, where it is loaded."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many series there may be at most, and how long a label's value."""

    task_names: int = variables.MAX_TASK_NAMES.default
    exceptions: int = variables.MAX_EXCEPTIONS.default
    label_length: int = variables.LABEL_LENGTH.default
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment says of us."""

    port: Port | None = None
    """None: no port is served."""
    push: pushing.Push | None = None
    """None: OTEL_METRICS_EXPORTER names nothing besides ``prometheus`` and ``none``."""
    buckets: tuple[float, ...] = variables.BUCKETS.default
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
    strict = variables.STRICT.read(reader)
    if variables.SDK_DISABLED.read(reader):
        return Settings(strict=strict)
    exporters = _exporters(reader)
    port = _port(reader) if "prometheus" in exporters else None
    push = pushing.push(reader, tuple(name for name in exporters if name != "prometheus"))
    spans = tracing.traces(reader)
    if port is not None or push is not None:
        variables.EXEMPLARS.read(reader)  # the SDK reads it for a port alone as well, and raises
    if port is not None or push is not None or spans is not None:
        _check_those_of_the_api(reader)
    pushed = [signal for signal, asked_for in (("METRICS", push), ("TRACES", spans)) if asked_for is not None]
    return Settings(
        port=port,
        push=push,
        traces=spans,
        buckets=variables.BUCKETS.read(reader),
        bounds=_bounds(reader),
        child_metrics=variables.CHILD_METRICS.read(reader),
        strict=strict,
        warnings=(
            *reader.ignored,
            *_open_to_others(port),
            *misspelt.warnings(environ),
            *(otlp.short_timeouts(reader, pushed) if pushed else ()),
        ),
    )


def traces(environ: Mapping[str, str]) -> tracing.Traces | None:
    """Read what concerns spans alone: all that a process that only publishes needs.

    Raises SettingsError on the first value that is not allowed.
    """
    reader = Reader(environ)
    spans = None if variables.SDK_DISABLED.read(reader) else tracing.traces(reader)
    if spans is not None:
        _check_those_of_the_api(reader)
    return spans


def is_strict(environ: Mapping[str, str]) -> bool:
    """Tell whether a mistake is to end the worker, even where the rest of the environment cannot be read."""
    return environ.get(variables.STRICT.name, "").strip().lower() == "true"


def _check_those_of_the_api(reader: Reader) -> None:
    """Find what OpenTelemetry would stumble over, in whatever imports it first, with words that name no variable."""
    for each in variables.OF_THE_API:
        each.read(reader)


def _exporters(reader: Reader) -> tuple[str, ...]:
    names = variables.METRICS_EXPORTER.read(reader)
    if variables.ENABLED.is_set(reader):
        wanted = variables.ENABLED.read(reader)
        names = (*(n for n in names if n not in {"prometheus", "none"}), *(("prometheus",) if wanted else ()))
    return tuple(name for name in names if name != "none")


def _port(reader: Reader) -> Port:
    standard = variables.OTEL_PORT.read(reader)
    return Port(
        host=variables.HOST.read(reader),
        number=variables.PORT.read(reader, standard),
        standard=standard,
        tls=_tls(reader),
        credentials=_credentials(reader),
    )


def _tls(reader: Reader) -> TLS | None:
    cert, key, client_ca = variables.TLS_CERT, variables.TLS_KEY, variables.TLS_CLIENT_CA
    for given, needed in ((cert, key), (key, cert), (client_ca, cert)):
        if given.is_set(reader) and not needed.is_set(reader):
            raise SettingsError(needed.name, "", f"set when {given.name} is")
    certificate, private = cert.read(reader), key.read(reader)
    if certificate is None or private is None:
        return None
    return TLS(certificate, private, client_ca.read(reader))


def _credentials(reader: Reader) -> Path | None:
    """Refuse a file that a client could not be admitted by, as long as somebody looks; later the port's log says it."""
    path = variables.CREDENTIALS.read(reader)
    if path is not None:
        try:
            credentials.read(path)
        except (OSError, credentials.UnusableError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SettingsError(variables.CREDENTIALS.name, str(path), f"a file of credentials ({why})") from None
    return path


def _open_to_others(port: Port | None) -> tuple[str, ...]:
    """Warn of the files with secrets that every user of the machine may read."""
    secrets = () if port is None else (port.credentials, port.tls.key if port.tls else None)
    return tuple(
        plain(f"{path} holds secrets, and every user of this machine may read it: chmod o-r (Kubernetes: defaultMode)")
        for path in secrets
        if path is not None and files.is_open_to_others(path)
    )


def _bounds(reader: Reader) -> Bounds:
    return Bounds(
        task_names=variables.MAX_TASK_NAMES.read(reader),
        exceptions=variables.MAX_EXCEPTIONS.read(reader),
        label_length=variables.LABEL_LENGTH.read(reader),
        allow=variables.ALLOW.read(reader),
        deny=variables.DENY.read(reader),
    )
