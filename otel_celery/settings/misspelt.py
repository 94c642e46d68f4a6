"""Warn of environment variables that look like misspelt settings, since a misspelt one would be ignored silently."""

from __future__ import annotations

import re
from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING

from otel_celery.masking import plain
from otel_celery.settings.reader import is_service_link
from otel_celery.settings.variables import OURS, PREFIX, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_WARNINGS = 10
"""Warnings at most; the remaining variables are only counted."""

FAMILIES = ("OTEL", "PROMETHEUS")
"""The first words of settings; other software uses them too, so that only a near miss of a setting gets a warning."""

_LEADING = re.compile("(OTEL|EXPORTER|PYTHON|CELERY)+")
"""The words that the names of settings begin with, one or several of which are easily left out or added."""

NEAR = 0.75
"""The least similarity of two words, as a ratio of ``difflib.SequenceMatcher`` (0 to 1)."""

LONGEST = 100
"""Characters of a name that are compared at most."""

_SERVICE = "_SERVICE_HOST"
"""The suffix of a variable that Kubernetes sets for each Service, next to others with the same prefix."""

_KNOWN = tuple(names())


def warnings(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each variable that looks like a setting and is none, with the nearest setting."""
    found = [sentence for name in sorted(environ) if (sentence := _sentence(name, environ))]
    rest = len(found) - MAX_WARNINGS
    more = (f"{rest} more variables are not settings of otel-celery and were ignored",) if rest > 0 else ()
    return (*found[:MAX_WARNINGS], *more)


def _sentence(name: str, environ: Mapping[str, str]) -> str | None:
    if not _is_of_a_family(name) or _is_of_a_service(name, environ):
        return None
    if name.startswith(PREFIX):
        if name in OURS or _is_pool_port(name):
            return None
        near = next(iter(get_close_matches(name[:LONGEST], OURS, n=1)), None)
    else:
        near = meant(name)
        if near is None:
            return None
    hint = f"; did you mean {near}?" if near else ""
    return f"{plain(name, LONGEST)} is not a setting of otel-celery and was ignored{hint}"


def meant(name: str) -> str | None:
    """Return the setting that a name is a near miss of, or None.

    Either exactly one word differs, and is similar, or only underscores and the first words do.
    """
    if name in _KNOWN:
        return None
    name = name[:LONGEST]
    words = name.split("_")
    near = (known for known in _KNOWN if _may_begin(words[0]) and _is_near(words, known.split("_")))
    return next(near, None) or next((known for known in _KNOWN if _has_other_joints(name, known)), None)


def _is_of_a_family(name: str) -> bool:
    """Tell whether a name begins as a setting's does, or nearly so."""
    first = name[:LONGEST].partition("_")[0]
    is_near = any(_similarity(first, family) >= NEAR for family in FAMILIES)
    return name.startswith(FAMILIES) or (is_near and _may_begin(first))


def _may_begin(first: str) -> bool:
    """Tell whether a first word may be a family's, or its slip; one with more letters around is another's name."""
    return first in FAMILIES or not any(family in first for family in FAMILIES)


def _has_other_joints(name: str, known: str) -> bool:
    """Tell whether two names differ in underscores, or in the words of OpenTelemetry that they begin with.

    What begins with PROMETHEUS is not taken for a setting of OpenTelemetry's: PROMETHEUS_HOST is somebody else's.
    """
    return _core(name) == _core(known) and (name.startswith("OTEL") or not known.startswith("OTEL"))


def _core(name: str) -> str:
    return _LEADING.sub("", name.replace("_", ""), count=1)


def _is_near(words: list[str], known: list[str]) -> bool:
    if len(words) != len(known):
        return False
    pairs = list(_different(words, known))
    return len(pairs) == 1 and _similarity(*pairs[0]) >= NEAR


def _similarity(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _different(words: list[str], known: list[str]) -> Iterator[tuple[str, str]]:
    return ((one, other) for one, other in zip(words, known, strict=True) if one != other)


def _is_of_a_service(name: str, environ: Mapping[str, str]) -> bool:
    """Tell whether Kubernetes, or a Docker link, has set a variable for a Service whose name its own begins with."""
    if name.endswith("_PORT") and is_service_link(environ[name]):
        return True
    services = (other.removesuffix(_SERVICE) for other in environ if other.endswith(_SERVICE))
    return any(name.startswith((f"{service}_SERVICE_", f"{service}_PORT")) for service in services)


def _is_pool_port(name: str) -> bool:
    pool = name.removeprefix(f"{PREFIX}POOL_")
    return pool != name and len(pool) > len("_PORT") and pool.endswith("_PORT")
