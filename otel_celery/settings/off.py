"""Say that metrics are off, and why; louder where a variable of ours is set, since somebody may wait for metrics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otel_celery import saying
from otel_celery.settings import variables
from otel_celery.settings.reader import Reader, is_service_link

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_celery.settings.settings import Settings

NAMED = 3
"""Variables that the sentence names at most."""

ON = f"{variables.ENABLED.name}=true"

_logger = logging.getLogger("otel_celery")


def say(environ: Mapping[str, str], settings: Settings, who: str) -> None:
    """Log :func:`sentence`; at WARNING it is said on stderr where the log does not take it."""
    level, text = sentence(environ, settings, who)
    if level > logging.INFO:
        saying.say(level, text)
    else:
        _logger.log(level, "otel-celery: %s", text)


def sentence(environ: Mapping[str, str], settings: Settings, who: str) -> tuple[int, str]:
    """Return the level and the text of the sentence for a process whose metrics are off.

    It is logged at WARNING where a variable of ours, or what looks like one, has a value, and at INFO otherwise.
    """
    given = tuple(_given(environ))
    off = f"metrics are off for {who}"
    if not given and not settings.warnings:
        return logging.INFO, f"{off}; {ON} switches them on"
    return logging.WARNING, f"{off}{_why(Reader(environ), settings, given)}"


def _why(reader: Reader, settings: Settings, given: tuple[str, ...]) -> str:
    """Name the variable that switches metrics off, or those that are set and do not switch them on."""
    spans = variables.TRACES_EXPORTER.name
    if variables.SDK_DISABLED.read(reader):
        return f": {variables.SDK_DISABLED.name}=true switches everything off"
    beside = f"; only spans are made ({spans})" if settings.traces is not None else ""
    if variables.ENABLED.is_set(reader):
        return f": {variables.ENABLED.name}=false{beside}"
    if variables.METRICS_EXPORTER.is_set(reader):
        return f": {variables.METRICS_EXPORTER.name}=none{beside}"
    if settings.traces is not None:
        return f": only spans are asked for ({spans}); {ON} switches metrics on"
    if not given:
        return f"; {ON} switches them on"
    verbs = ("is set, and switches", "are set, and switch")[len(given) > 1]
    return f": {_listed(given)} {verbs} nothing on; {ON} does"


def _given(environ: Mapping[str, str]) -> Iterator[str]:
    """Name our variables that have a value; one that Kubernetes has set for a Service is none of ours."""
    known = frozenset(variables.names())
    for name in sorted(environ):
        is_ours = name in known or name.startswith(variables.PREFIX)
        if is_ours and environ[name].strip() and not is_service_link(environ[name]):
            yield name


def _listed(names: tuple[str, ...]) -> str:
    if len(names) > NAMED:
        names = (*names[: NAMED - 1], f"{len(names) - NAMED + 1} more variables")
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
