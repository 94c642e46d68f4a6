"""The workers as processes: what they use, and what became of their children."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import MOST, Vector, foreign, of_workers, series
from devops.monitoring.dashboard.style import BYTES, HIGHEST, ORANGE, RATE, RATIO, RED, SECONDS, Query, limited, lines
from otel_celery import catalogue

TITLE = "Processes"
MAIN = f"Of the main process, which takes messages and serves metrics, without the children that run tasks. {HIGHEST}"
NOBODY = "No worker has been scraped, or its system has no /proc"


def panels() -> list[Any]:
    """Make the row's panels."""
    return [*(panel.span(8) for panel in used()), children().span(12), uptime().span(12)]


def used() -> list[Any]:
    """Draw what the main processes use."""
    cpu = foreign("process_cpu_seconds_total")
    memory, started = foreign("process_resident_memory_bytes"), _share(foreign("process_open_fds"))
    return [
        _process("CPU", f"Cores in use. {MAIN}", cpu.per_second(), cpu.per_second().throughout(), "suffix:cores"),
        _process("Memory", f"Resident memory. {MAIN}", memory, memory.peak(), BYTES),
        limited(
            _process(
                "Open File Descriptors",
                "The share of the allowed number that is in use: at 100 % no connection and no child can be made. "
                f"{HIGHEST}",
                started,
                _share(foreign("process_open_fds").peak()),
                RATIO,
            ),
            (0.8, ORANGE),
            (0.95, RED),
        ),
    ]


def children() -> Any:
    """Draw what became of pool children."""
    ends = series(catalogue.PROCESS_EXITS).per_second().total("worker", "reason")
    return (
        lines(
            "Children That Went",
            "Recycled: after max-tasks-per-child or max-memory-per-child. Killed: by a signal, the kernel's memory "
            f"killer's among them. Exited: by themselves. Timed out: at a hard limit. {HIGHEST}",
            Query(ends.leading(), "{{worker}} {{reason}}"),
            unit=RATE,
            nothing="No worker has been scraped",
        )
        .data_links([links.page("worker"), links.narrowed("worker")])
        .links(links.runbook("CeleryProcessesLost"))
    )


def uptime() -> Any:
    """Draw since when workers are there: those that were started last, which is where something may be wrong."""
    started = of_workers(foreign("process_start_time_seconds"), catalogue.WORKER_INFO).by("max", "worker")
    latest = of_workers(foreign("process_start_time_seconds").last(), catalogue.WORKER_INFO).by("max", "worker")
    panel = lines(
        "Uptime",
        f"How long ago each worker was started: the {MOST} that were started last.",
        Query(Vector(f"time() - ({started.leading(latest)})", started.labels), "{{worker}}"),
        unit=SECONDS,
        nothing=NOBODY,
    )
    return panel.data_links([links.page("worker"), links.narrowed("worker")]).links(
        links.runbook("CeleryWorkerFlapping")
    )


def _process(title: str, about: str, measured: Vector, ranking: Vector, unit: str) -> Any:
    """Draw a figure of the process collector, with the worker's name on it."""
    drawn, ranked = (of_workers(one, catalogue.WORKER_INFO).by("max", "worker") for one in (measured, ranking))
    panel = lines(title, about, Query(drawn.leading(ranked), "{{worker}}"), unit=unit, nothing=NOBODY)
    return panel.data_links([links.page("worker"), links.narrowed("worker")])


def _share(used_of_all: Vector) -> Vector:
    return Vector(f"{used_of_all} / {foreign('process_max_fds')}", used_of_all.labels)
