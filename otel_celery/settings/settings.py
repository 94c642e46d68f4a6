"""Turn an environment into frozen Settings, or raise SettingsError with one sentence for the operator.

This module reads the mapping that it is given, and not ``os.environ``. The variables are declared in ``variables``,
from which the table in docs/settings.md is made too.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from otel_celery.settings import misspelt, otlp, variables
from otel_celery.settings import port as serving
from otel_celery.settings import push as pushing
from otel_celery.settings import queues as queueing
from otel_celery.settings import traces as tracing
from otel_celery.settings.port import TLS, Port
from otel_celery.settings.reader import Reader, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENDS", "EX_CONFIG", "TLS", "Bounds", "Port", "Settings", "SettingsError", "ends", "is_strict", "read"]

EX_CONFIG = 78
"""The exit status for bad configuration, as in sysexits.h; for a strict worker, a taken port counts as such."""


def ends(host: str) -> str:
    """Write the end of a strict process's last sentence, so that its log tells why it has ended."""
    return f"; the {host} ends (strict, status {EX_CONFIG})"


ENDS = ends("worker")
"""The end of a strict worker's last sentence."""


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
    port = serving.port(reader) if "prometheus" in exporters else None
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
            *serving.open_to_others(port),
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


def _bounds(reader: Reader) -> Bounds:
    return Bounds(
        task_names=variables.MAX_TASK_NAMES.read(reader),
        exceptions=variables.MAX_EXCEPTIONS.read(reader),
        label_length=variables.LABEL_LENGTH.read(reader),
        allow=variables.ALLOW.read(reader),
        deny=variables.DENY.read(reader),
    )
