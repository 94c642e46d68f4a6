"""The kinds of values that variables take: for each kind a parser, and a description for the table."""

from __future__ import annotations

import fnmatch
import math
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, TypeVar

from otel_celery.masking import foreign
from otel_celery.settings.reader import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from otel_celery.settings.reader import Reader

T = TypeVar("T")

MAX_BUCKETS = 60
"""Bounds of a histogram at most."""

MAX_PATTERNS = 1_000
"""Patterns of one list at most."""

MAX_PATTERN = 500
"""Characters of a pattern at most."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of value."""

    words: str
    """The allowed values, for the table."""
    read: Callable[[Reader, str, T], T]
    """Reads a variable by its name and default; raises SettingsError."""


def whole_number(low: int, high: int, unit: str = "") -> Kind[int]:
    """Make the kind of whole numbers from ``low`` to ``high``."""
    words = f"a whole number{f' of {unit}' if unit else ''} from {low} to {high}"
    return Kind(
        words, lambda reader, name, default: reader.integer(name, default=default, low=low, high=high, unit=unit)
    )


def choice(*words: str) -> Kind[str]:
    """Make the kind of one of these words, in any case."""
    return Kind(
        ", ".join(f"`{word}`" for word in words),
        lambda reader, name, default: reader.choice(name, words, default=default),
    )


def registered(group: str, *, may_be_empty: bool = False, is_made: bool = False) -> Kind[str]:
    """Make the kind of an installed entry point's name, compared exactly as OpenTelemetry's API compares it.

    With a name that is not installed or does not load, the API would raise in its first caller: a task or this package.
    ``is_made`` says that the entry point's object can be called here to try it, without an effect.
    """

    def read(reader: Reader, name: str, default: str) -> str:
        value = reader.raw(name)
        if value is None or (may_be_empty and not value.strip()):
            return default
        found = _installed(group).get(value)
        if found is None:
            raise SettingsError(name, value, f"an installed entry point of {group}")
        _try(found, name, value, is_made=is_made)
        return value

    return Kind(f"an entry point of `{group}`", read)


def all_registered(group: str, *, any_case: str = "", every: str = "") -> Kind[str]:
    """Make the kind of several entry points' names, comma-separated, whose objects can be called without an effect.

    Names after the word ``any_case`` are not read; the word ``every`` stands for all entry points of the group.
    """

    def read(reader: Reader, name: str, default: str) -> str:
        value = reader.raw(name)
        if not value:
            return default
        installed = _installed(group)
        for each in map(str.strip, value.split(",")):
            if any_case and each.lower() == any_case:
                break
            if every and each in {every, ""}:
                continue
            if each not in installed:
                raise SettingsError(name, value, f"installed entry points of {group}, comma-separated, or {other}")
            _try(installed[each], name, value, is_made=True)
        return value

    other = any_case or every
    return Kind(f"entry points of `{group}`, comma-separated, or `{other}`", read)


def _installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group at once: each single lookup would read the metadata of every package.

    ``export.plugins`` finds and loads one as well, but is a layer above: it cannot be asked from the settings.
    """
    return {each.name: each for each in reversed(tuple(entry_points(group=group)))}  # the first of a name counts


def _try(found: EntryPoint, name: str, value: str, *, is_made: bool) -> None:
    """Load an entry point as the API will; a package that ends the process on its import does not load."""
    with foreign(lambda why: SettingsError(name, value, f"an entry point of {found.group} that works ({why})")):
        loaded = found.load()
        if is_made:
            loaded()


def _bounds(reader: Reader, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    value = reader.text(name)
    if value is None:
        return default
    allowed = f"at most {MAX_BUCKETS} increasing positive numbers of seconds, comma-separated"
    try:
        bounds = tuple(float(bound) for bound in value.split(","))
    except ValueError:
        raise SettingsError(name, value, allowed) from None
    rising = all(low < high for low, high in pairwise(bounds))
    if len(bounds) > MAX_BUCKETS or not rising or not all(b > 0 and math.isfinite(b) for b in bounds):
        raise SettingsError(name, value, allowed)
    return bounds


def _patterns(reader: Reader, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """Read patterns of fnmatch; refuse one that does not compile as a regular expression.

    Reading one takes the time of its length squared, 2 s for 10 000 characters.
    """
    patterns = reader.names(name) or default
    if any(len(pattern) > MAX_PATTERN for pattern in patterns) or len(patterns) > MAX_PATTERNS:
        allowed = f"at most {MAX_PATTERNS} patterns as of fnmatch, comma-separated, of at most {MAX_PATTERN} characters"
        raise SettingsError(name, ",".join(patterns), allowed)
    try:
        for pattern in patterns:
            re.compile(fnmatch.translate(pattern))
    except (re.error, OverflowError, RecursionError):
        raise SettingsError(name, ",".join(patterns), "patterns as of fnmatch, comma-separated") from None
    return patterns


BOOLEAN: Kind[bool] = Kind("`true`, `false`", lambda reader, name, default: reader.boolean(name, default=default))
PORT: Kind[int] = Kind("a port, from 1 to 65535", lambda reader, name, default: reader.port(name, default=default))
MILLISECONDS: Kind[int] = Kind(
    "milliseconds, at most a day", lambda reader, name, default: reader.milliseconds(name, default=default)
)
HOST: Kind[str] = Kind("a host's name or address", lambda reader, name, default: reader.host(name, default=default))
NAME: Kind[str] = Kind("a name", lambda reader, name, default: reader.name(name, default=default))
NAMES: Kind[tuple[str, ...]] = Kind(
    "names, comma-separated", lambda reader, name, default: reader.names(name) or default
)
EXPORTERS: Kind[tuple[str, ...]] = Kind(
    "exporters, comma-separated, or `none` alone", lambda reader, name, default: reader.exporters(name) or default
)
FILE: Kind[Path | None] = Kind("a file", lambda reader, name, _: reader.file(name))
SECRET_FILE: Kind[Path | None] = Kind("a file", lambda reader, name, _: reader.file(name, is_secret=True))
BOUNDS: Kind[tuple[float, ...]] = Kind(f"at most {MAX_BUCKETS} increasing positive seconds, comma-separated", _bounds)
PATTERNS: Kind[tuple[str, ...]] = Kind("patterns as of fnmatch, comma-separated", _patterns)
URL: Kind[str] = Kind("an http or https URL", lambda reader, name, default: reader.text(name) or default)
PAIRS: Kind[tuple[str, ...]] = Kind(
    "`name=value`, comma-separated, percent-encoded", lambda reader, name, default: reader.names(name) or default
)
OF_THE_SDK: Kind[str] = Kind("as the SDK reads it", lambda reader, name, default: reader.text(name) or default)
