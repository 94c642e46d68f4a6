"""Read the pools file: TOML becomes frozen Pools, or raises PlanError with one sentence for the operator."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from otel_celery.masking import ROOM, plain, quoted
from otel_celery.pools.section import PlanError, Section, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

EXAMPLE = Path(__file__).with_name("pools.toml")
"""The example file with the five documented pools, used if the user has no file."""

LOCAL = Path("pools.toml")
"""The user's own file, in the working directory."""

KINDS = ("prefork", "threads", "solo", "gevent", "eventlet", "processes", "custom")
"""The values of ``celery worker --pool``."""

KEYS = ("app", "port", "queues", "concurrency", "pool", "hostname", "options")
"""The keys of a pool's table."""

OURS = {
    ("-A", "--app"): "the key app",
    ("-n", "--hostname"): "the key hostname",
    ("-Q", "--queues"): "the key queues",
    ("-c", "--concurrency"): "the key concurrency",
    ("-P", "--pool"): "the key pool",
    ("-I", "--include"): "include in the app's configuration",
    ("-D", "--detach"): "an init system",
}
"""Worker options that are not allowed in ``options``, and their replacements."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool of the file: the options of its worker, and its metrics port."""

    name: str
    app: str
    port: int
    queues: tuple[str, ...]
    concurrency: int | None = None
    kind: str = "prefork"
    hostname: str = "%h"
    options: tuple[str, ...] = ()


def find(file: Path | None, directory: Path) -> Path:
    """Choose the file: the given one, or else the directory's own, or else the example."""
    if file is not None:
        return file
    local = directory / LOCAL
    return local if local.is_file() else EXAMPLE


def read(file: Path) -> tuple[Pool, ...]:
    """Read a pools file.

    Raises PlanError on the first value that is not allowed, or if the file cannot be read.
    """
    return _of(file, parse)


def read_exporter(file: Path) -> int | None:
    """Read the port of the queues' exporter from a pools file; None where it has no table ``[queues]``.

    Raises PlanError as ``read`` does.
    """
    return _of(file, parse_exporter)


def parse(text: str) -> tuple[Pool, ...]:
    """Make Pools of a file's text, in the file's order.

    Raises PlanError on the first value that is not allowed.
    """
    top = _tables(text)
    defaults = Section("defaults", top.get("defaults", {}), KEYS)
    tables = Section("pools", top.get("pools", {})).values
    if not tables:
        raise PlanError("there is no pool in it: each needs a table, [pools.<name>]")
    pools = tuple(
        _pool(name, Section(f"pools.{plain(name, ROOM)}", table, KEYS, defaults)) for name, table in tables.items()
    )
    _distinct(pools)
    return pools


def parse_exporter(text: str) -> int | None:
    """Find the port of the queues' exporter in a file's text.

    Raises PlanError on a value that is not allowed.
    """
    top = _tables(text)
    return Section("queues", top["queues"], ("port",)).integer("port", high=65535) if "queues" in top else None


def select(pools: Iterable[Pool], names: Iterable[str]) -> tuple[Pool, ...]:
    """Pick pools by name, in the file's order; all of them if no name is given.

    Raises PlanError on the name of no pool.
    """
    by_name = {pool.name: pool for pool in pools}
    wanted = set(names)
    for name in sorted(wanted - by_name.keys()):
        raise PlanError(f"there is no pool {quoted(name)} among {', '.join(by_name)}{nearest(name, by_name)}")
    return tuple(pool for pool in by_name.values() if not wanted or pool.name in wanted)


def _of(file: Path, parsed: Callable[[str], T]) -> T:
    """Parse a file's text; errors name the file."""
    try:
        return parsed(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{file} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # PlanError, or bytes that are no text
        raise PlanError(f"{file}: {error}") from None


def _tables(text: str) -> Mapping[str, object]:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, a too long number, or too deep brackets
        raise PlanError(f"this is not TOML: {error}") from None
    return Section("", document, ("defaults", "pools", "queues")).values


def _pool(name: str, section: Section) -> Pool:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise PlanError(
            f"the pool's name {quoted(name)} is not allowed: it must be letters, digits, - and _, a letter first"
        )
    return Pool(
        name=name,
        app=section.text("app"),
        port=section.integer("port", high=65535),
        queues=section.texts("queues", (name,), at_least=1),
        concurrency=section.integer("concurrency", high=10_000) if "concurrency" in section else None,
        kind=section.choice("pool", KINDS, "prefork"),
        hostname=section.text("hostname", "%h"),
        options=_options(section),
    )


def _options(section: Section) -> tuple[str, ...]:
    options = section.texts("options", ())
    for option in options:
        flag = option.split("=", 1)[0] if option.startswith("--") else option[:2]
        for flags, instead in OURS.items():
            if flag in flags:
                raise section.refusal("options", list(options), f"instead of {flag} use {instead}")
    return options


def _distinct(pools: Iterable[Pool]) -> None:
    """Refuse two pool names that give the same environment variable."""
    seen: dict[str, str] = {}
    for pool in pools:
        other = seen.setdefault(pool.name.upper().replace("-", "_"), pool.name)
        if other != pool.name:
            raise PlanError(f"the pools {quoted(other)} and {quoted(pool.name)} would share the variable of their port")
