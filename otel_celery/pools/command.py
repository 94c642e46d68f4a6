"""The command line and the environment of a pool's worker."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from otel_celery.pools import leash
from otel_celery.settings import variables
from otel_celery.settings.reader import Reader

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping

    from otel_celery.pools.plan import Pool

HOOK = "otel_celery.hook"
"""The module that a worker imports (-I) to switch its metrics on."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run, and the name that its lines are printed under."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]


def worker(pool: Pool, environ: Mapping[str, str]) -> Command:
    """Make the command of a pool's worker, with metrics on unless ``environ`` sets PROMETHEUS_ENABLED."""
    changed = {variables.PORT.name: str(pool.port), "PYTHONUNBUFFERED": "1"}
    if not variables.ENABLED.is_set(Reader(environ)):
        changed[variables.ENABLED.name] = "true"
    return Command(pool.name, _argv(pool), {**environ, **changed})


def leashed(argv: tuple[str, ...], when_orphaned: signal.Signals) -> tuple[str, ...]:
    """Wrap a command so that Linux sends it a signal when this process dies, by SIGKILL too; do nothing elsewhere."""
    if not sys.platform.startswith("linux"):
        return argv
    script = str(Path(leash.__file__))
    return (sys.executable, "-I", "-S", script, str(os.getpid()), str(int(when_orphaned)), *argv)


def _argv(pool: Pool) -> tuple[str, ...]:
    slots = () if pool.concurrency is None else ("-c", str(pool.concurrency))
    return (
        *(sys.executable, "-m", "celery", "-A", pool.app, "worker"),
        *("-n", f"{pool.name}@{pool.hostname}"),
        *("-Q", ",".join(pool.queues)),
        *slots,
        *("-P", pool.kind),
        *("-I", HOOK),
        *("-l", "INFO"),  # the line that says which port is open is an INFO line
        *pool.options,
    )
