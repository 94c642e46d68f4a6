"""The ways to switch the metrics on, and the pools to do it on."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.worker.rows import POOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.worker.conftest import Site
    from tests.integration.worker.harness import Worker

BIN = Path(sys.executable).parent
PYTHON = (sys.executable, "-m", "celery")
AUTO = (str(BIN / "opentelemetry-instrument"), str(BIN / "celery"))
OFF = {"PROMETHEUS_ENABLED": "", "PROMETHEUS_PORT": ""}
CUSTOM = "tests.integration.worker.custom_pool:TaskPool"


@dataclass(frozen=True)
class Way:
    """One way to switch the metrics on."""

    name: str
    app: str = "tests.integration.worker.proj"
    include: tuple[str, ...] = ()
    """The modules that ``-I`` names: Celery reads the option once, with commas."""
    launcher: tuple[str, ...] = PYTHON
    environment: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def start(
        self,
        site: Site,
        pool: str,
        *,
        environment: dict[str, str] | None = None,
        include: tuple[str, ...] = (),
        **options: Any,
    ) -> Worker:
        """Start a worker this way, with further modules read into it."""
        modules = ",".join((*self.include, *include))
        full = {**self.environment, **(environment or {})}
        if pool == "custom":
            full["CELERY_CUSTOM_WORKER_POOL"] = CUSTOM
        options = {"app": self.app, "launcher": self.launcher, **options}
        return site.start(pool=pool, environment=full, switch=("-I", modules) if modules else (), **options)


NONE = Way("no-way")
LINE = Way("line", app="tests.integration.worker.proj_line")
HOOK = Way("hook", include=("otel_celery.hook",))
INSTRUMENT = Way("instrument", launcher=AUTO)
INSTRUMENT_ALONE = Way(
    "instrument-without-contrib", launcher=AUTO, environment={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "celery"}
)
ALL = Way("all-at-once", app=LINE.app, include=HOOK.include, launcher=AUTO)
WAYS = (LINE, HOOK, INSTRUMENT, INSTRUMENT_ALONE, ALL)


def pools(*names: str) -> list[Any]:
    """Make parameters of pools, each with its mark; the custom pool is one thread."""
    marks = {"custom": pytest.mark.threads}
    return [pytest.param(name, marks=marks.get(name) or getattr(pytest.mark, name)) for name in names]


def crossed(ways: Sequence[Way], cases: Sequence[Any]) -> list[Any]:
    """Cross the first way with every case, and the others with the first: how a worker is switched on is read once."""
    pairs = [*((ways[0], case) for case in cases), *((way, cases[0]) for way in ways[1:])]
    return [
        pytest.param(way, *case.values, marks=case.marks, id=f"{way}-{case.id or case.values[0]}")
        for way, case in pairs
    ]


EVERY = pools(*POOLS, "custom")


def opened(worker: Worker) -> int:
    """Count the lines that say that the port is open."""
    port, name = worker.port, worker.name
    sentence = rf"INFO/.*Prometheus metrics server started on port {port} for worker {name}@localhost$"
    return len(re.findall(sentence, worker.log, re.MULTILINE))


def errors(worker: Worker) -> list[str]:
    """List our own sentences of level ERROR, from the log and from stderr, without what stands before them."""
    ours = [line for line in worker.log.splitlines() if "otel-celery" in line and "ERROR" in line]
    return [line.partition("ERROR")[2].partition("otel-celery: ")[2] or line for line in ours]
