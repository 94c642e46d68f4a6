"""Give each pool its port: the environment's, or else the file's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_celery.masking import ROOM, plain, quoted
from otel_celery.pools.section import PlanError, nearest
from otel_celery.settings.reader import Reader, SettingsError, is_service_link, of_a_service
from otel_celery.settings.settings import Port, read
from otel_celery.settings.variables import ENABLED, POOL_PORT, PORT, PREFIX, SDK_DISABLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_celery.pools.plan import Pool

SHARED = PORT.name
"""The variable with the port of a single pool; several pools cannot share it."""

UNSET = 0
"""The number that stands for a port that no variable gives."""


def variable(pool: Pool) -> str:
    """Return the name of the variable that overrides one pool's port."""
    return f"{PREFIX}POOL_{pool.name.upper().replace('-', '_')}_PORT"


def assign(pools: Iterable[Pool], environ: Mapping[str, str]) -> tuple[Pool, ...]:
    """Give pools that start together their ports from the environment.

    Raises PlanError on an invalid port, on two pools with one port, and on PROMETHEUS_PORT for several pools.
    """
    pools, reader = tuple(pools), Reader(environ)
    shared = reader.port_text(SHARED)
    if shared and len(pools) > 1:
        names = ", ".join(variable(pool) for pool in pools)
        raise PlanError(f"{SHARED}={quoted(shared)} cannot be the port of {len(pools)} pools: use {names}")
    assigned = tuple(_assign(pool, reader) for pool in pools)
    _distinct(assigned)
    return assigned


def strays(pools: Iterable[Pool], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each port variable that is ignored: it names no pool, or is about a Kubernetes Service."""
    known = {variable(pool) for pool in pools}
    named = sorted(name for name in environ if name.startswith(f"{PREFIX}POOL_") and name.endswith("_PORT"))
    links = [name for name in (SHARED, *named) if is_service_link(environ.get(name, ""))]
    strange = [name for name in named if name not in known and name not in links]
    return (
        *(of_a_service(name, environ[name]) for name in links if name == SHARED or name in known),
        *(f"{plain(name, ROOM)} names no pool of the file, and was ignored{nearest(name, known)}" for name in strange),
    )


def served(environ: Mapping[str, str]) -> Port:
    """Read the Port (host, TLS, credentials) of a worker with this environment, as if its metrics were on.

    Raises SettingsError on the first value that is not allowed.
    """
    return read({**environ, ENABLED.name: "true", SDK_DISABLED.name: "false"}).port or Port()


def _assign(pool: Pool, reader: Reader) -> Pool:
    """Apply the pool's own variable, or else the shared one."""
    try:
        port = replace(POOL_PORT, name=variable(pool)).read(reader, UNSET) or PORT.read(reader, pool.port)
    except SettingsError as error:
        raise PlanError(str(error)) from None
    return replace(pool, port=port)


def _distinct(pools: tuple[Pool, ...]) -> None:
    owners: dict[int, Pool] = {}
    for pool in pools:
        other = owners.setdefault(pool.port, pool)
        if other is not pool:
            raise PlanError(
                f"the pools {other.name!r} and {pool.name!r} have one port, {pool.port}: "
                f"change the file, or set {variable(pool)}"
            )
