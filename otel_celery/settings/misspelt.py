"""Variables that look like settings and are none: a slip of the pen is silence otherwise."""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING

from otel_celery.masking import plain
from otel_celery.settings.variables import OURS, PREFIX, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_WARNINGS = 10
"""Variables that are named one by one."""

FAMILIES = ("OTEL_", "PROMETHEUS_")
"""What the names begin with that are not ours alone: many others are somebody else's, and no concern of ours."""

NEAR = 0.75
"""How much of a word has to be the same, of its letters."""

LONGEST = 100
"""Characters of a name that is looked at."""

_SERVICE = "_SERVICE_HOST"
"""What Kubernetes gives each Service, beside variables that begin alike."""

_KNOWN = tuple(names())


def warnings(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say in a sentence each which variables are no settings, and which setting may be meant."""
    found = [sentence for name in sorted(environ) if (sentence := _sentence(name, environ))]
    rest = len(found) - MAX_WARNINGS
    more = (f"{rest} more variables are not settings of otel-celery and were ignored",) if rest > 0 else ()
    return (*found[:MAX_WARNINGS], *more)


def _sentence(name: str, environ: Mapping[str, str]) -> str | None:
    if name.startswith(PREFIX):
        if name in OURS or _is_pool_port(name) or _is_of_a_service(name, environ):
            return None
        near = next(iter(get_close_matches(name[:LONGEST], OURS, n=1)), None)
    else:
        near = meant(name) if name.startswith(FAMILIES) and name not in _KNOWN else None
        if near is None:
            return None
    hint = f"; did you mean {near}?" if near else ""
    return f"{plain(name, LONGEST)} is not a setting of otel-celery and was ignored{hint}"


def meant(name: str) -> str | None:
    """Tell which standard variable a name is a slip of the pen for: one of its words is another, and that is near."""
    words = name[:LONGEST].split("_")
    return next((known for known in _KNOWN if _is_near(words, known.split("_"))), None)


def _is_near(words: list[str], known: list[str]) -> bool:
    if len(words) != len(known):
        return False
    pairs = list(_different(words, known))
    return len(pairs) == 1 and SequenceMatcher(None, *pairs[0]).ratio() >= NEAR


def _different(words: list[str], known: list[str]) -> Iterator[tuple[str, str]]:
    return ((one, other) for one, other in zip(words, known, strict=True) if one != other)


def _is_of_a_service(name: str, environ: Mapping[str, str]) -> bool:
    """Tell whether a variable is about a Kubernetes Service that is called like us."""
    services = (other.removesuffix(_SERVICE) for other in environ if other.endswith(_SERVICE))
    return any(name.startswith((f"{service}_SERVICE_", f"{service}_PORT")) for service in services)


def _is_pool_port(name: str) -> bool:
    pool = name.removeprefix(f"{PREFIX}POOL_")
    return pool != name and len(pool) > len("_PORT") and pool.endswith("_PORT")
