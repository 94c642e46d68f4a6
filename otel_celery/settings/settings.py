"""Turn an environment into frozen Settings, or raise SettingsError with one sentence for the operator.

This module reads the mapping that it is given, and not ``os.environ``. The variables are declared in ``variables``,
from which the table in docs/settings.md is made too.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from otel_celery.masking import plain
from otel_celery.settings import credentials, files, misspelt, otlp, variables
from otel_celery.settings import push as pushing
from otel_celery.settings import queues as queueing
from otel_celery.settings import traces as tracing
from otel_celery.settings.reader import Reader, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ENDS", "EX_CONFIG", "TLS", "Bounds", "Port", "Settings", "SettingsError", "ends", "is_strict", "read"]

EX_CONFIG = 78
"""The exit status for bad configuration, as in sysexits.h; for a strict worker, a taken port counts as such."""


def ends(host: str) -> str:
    """Write the end of a strict process's last sentence, so that its log tells why it has ended."""
    return f"; the {host} ends (strict, status {EX_CONFIG})"


ENDS = ends("worker")
"""The end of a strict worker's last sentence."""


class TLS(NamedTuple):
    """The files of the port's TLS; with ``client_ca`` clients need a certificate signed by that CA."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Port(NamedTuple):
    """The settings of the port: its address, TLS and credentials."""

    host: str = variables.HOST.default
    number: int = variables.OTEL_PORT.default
    tls: TLS | None = None
    credentials: Path | None = None
    runbook: str = variables.RUNBOOK_URL.default
    """The runbook's address, for the link on the port's page; empty if there is none."""
    standard: int = variables.OTEL_PORT.default
    """The value of OTEL_EXPORTER_PROMETHEUS_PORT, which the SDK's own Prometheus entry point binds if it is loaded."""


class Bounds(NamedTuple):
    """The bounds of series and labels."""

    task_names: int = variables.MAX_TASK_NAMES.default
    """Task names with series of their own at most; further ones are folded into ``other``."""
    exceptions: int = variables.MAX_EXCEPTIONS.default
    """Exception classes with series of their own at most; further ones are folded into ``other``."""
    label_length: int = variables.LABEL_LENGTH.default
    """Characters of a label value at most."""
    allow: tuple[str, ...] = ()
    """Patterns of fnmatch; task names that match none are folded into ``other``, unless there is no pattern."""
    deny: tuple[str, ...] = ()
    """Patterns of fnmatch; task names that match one are folded into ``other``."""


class Settings(NamedTuple):
    """All settings of one environment."""

    port: Port | None = None
    """The port's settings; None if no port is served."""
    push: pushing.Push | None = None
    """The push's settings; None if OTEL_METRICS_EXPORTER names no exporter besides ``prometheus`` and ``none``."""
    buckets: tuple[float, ...] = variables.BUCKETS.default
    """Upper bounds of the histograms, in seconds."""
    bounds: Bounds = Bounds()
    strict: bool = False
    warnings: tuple[str, ...] = ()
    """Sentences about ignored or misspelt variables, and about files that every user may read."""
    traces: tracing.Traces | None = None
    """The settings of spans; None if no spans are made."""
    queues: queueing.Queues = queueing.Queues()
    child_metrics: bool = True
    """Whether the metrics that tasks record with OpenTelemetry are exported too, also from pool children."""
    gc_freeze: bool = False
    """Whether a worker that forks its pool freezes the garbage collector's objects before."""
    beat_port: int | None = None
    """The number of beat's port, where it is another than ``port`` has."""

    def of_beat(self, *, is_embedded: bool) -> Settings:
        """Return the settings of beat; a worker in which it ``is_embedded`` has the port, and has said its warnings."""
        port = self.port
        if port is not None and self.beat_port is not None:
            port = port._replace(number=self.beat_port)
        elif is_embedded:
            port = None
        return self._replace(port=port, warnings=() if is_embedded else self.warnings)

    @property
    def enabled(self) -> bool:
        """Whether metrics are recorded: for the port, or for a push."""
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
    variables.SENT_HEADER.read(reader)
    if port is not None or push is not None:
        variables.EXEMPLARS.read(reader)  # checked for a port alone as well: the SDK reads it, and raises
    if port is not None or push is not None or spans is not None:
        _check_those_of_the_api(reader)
    pushed = [signal for signal, asked_for in (("METRICS", push), ("TRACES", spans)) if asked_for is not None]
    return Settings(
        port=port,
        push=push,
        traces=spans,
        beat_port=variables.BEAT_PORT.read(reader) or None,
        queues=queueing.queues(reader),
        buckets=variables.BUCKETS.read(reader),
        bounds=_bounds(reader),
        child_metrics=variables.CHILD_METRICS.read(reader),
        gc_freeze=variables.GC_FREEZE.read(reader),
        strict=strict,
        warnings=(
            *reader.ignored,
            *_open_to_others(port),
            *misspelt.warnings(environ),
            *(otlp.short_timeouts(reader, pushed) if pushed else ()),
        ),
    )


def traces(environ: Mapping[str, str]) -> tracing.Traces | None:
    """Read the settings of spans only, for a process that only publishes; None if no spans are made.

    Raises SettingsError on the first value that is not allowed.
    """
    reader = Reader(environ)
    spans = None if variables.SDK_DISABLED.read(reader) else tracing.traces(reader)
    if spans is not None:
        _check_those_of_the_api(reader)
    return spans


def publisher(environ: Mapping[str, str]) -> Settings:
    """Read what concerns a process that only publishes: its push, the buckets and the bounds, and never a port.

    Raises SettingsError on the first value that is not allowed.
    """
    reader = Reader(environ)
    if variables.SDK_DISABLED.read(reader):
        return Settings()
    variables.SENT_HEADER.read(reader)
    push = pushing.push(reader, tuple(name for name in _exporters(reader) if name != "prometheus"))
    if push is not None:
        _check_those_of_the_api(reader)
    return Settings(push=push, buckets=variables.BUCKETS.read(reader), bounds=_bounds(reader))


def sends_header(environ: Mapping[str, str]) -> bool | None:
    """Tell whether messages get the header with their time; None if nothing is to be installed.

    A value that is not allowed counts as unset here: whoever reads all settings reports it.
    """
    reader = Reader(environ)
    with contextlib.suppress(SettingsError):
        if variables.SDK_DISABLED.read(reader):
            return None
    with contextlib.suppress(SettingsError):
        return variables.SENT_HEADER.read(reader)
    return True


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Tell whether OTEL_SDK_DISABLED switches everything off, in an environment that can be read."""
    return variables.SDK_DISABLED.read(Reader(environ))


def is_strict(environ: Mapping[str, str]) -> bool:
    """Tell whether a mistake ends the worker; readable even if the rest of the environment has mistakes."""
    return environ.get(variables.STRICT.name, "").strip().lower() == "true"


def _check_those_of_the_api(reader: Reader) -> None:
    """Check the variables of OpenTelemetry's API, which raises on a bad one in its first importer without its name."""
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
        runbook=_runbook(reader),
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
    """Read the credentials file's path; refuse an unusable file now, since later only the port's log would tell."""
    path = variables.CREDENTIALS.read(reader)
    if path is not None:
        try:
            credentials.read(path)
        except (OSError, credentials.UnusableError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SettingsError(variables.CREDENTIALS.name, str(path), f"a file of credentials ({why})") from None
    return path


def _runbook(reader: Reader) -> str:
    """Read the runbook's address; a link to anything but a web page could be a program for the browser."""
    address = variables.RUNBOOK_URL.read(reader)
    if address and not otlp.is_place(address, {"http", "https"}):
        raise SettingsError(variables.RUNBOOK_URL.name, address, "a URL that begins with http:// or https://")
    return address


def _open_to_others(port: Port | None) -> tuple[str, ...]:
    """Return a warning for each file with secrets that every user of the machine may read."""
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
