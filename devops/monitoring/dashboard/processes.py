"""The workers as processes: what they use, what became of their children, whether their loops turn."""

from __future__ import annotations

from typing import Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, foreign, of_workers, series
from devops.monitoring.dashboard.style import BYTES, ORANGE, RATE, RATIO, RED, SECONDS, Query, limited, lines
from devops.monitoring.dashboard.tables import workers
from otel_celery import catalogue

TITLE = "Worker Processes"
MAIN = "Of the main process, which takes the messages and serves the metrics, without the children that run tasks."
NOBODY = "No worker has been scraped, or its system has no /proc"


def panels() -> list[Any]:
    """Make the row's panels."""
    return [
        workers().span(24),
        _process("CPU", f"Cores in use. {MAIN}", foreign("process_cpu_seconds_total").per_second(), "suffix:cores"),
        _process("Memory", f"Resident memory. {MAIN}", foreign("process_resident_memory_bytes"), BYTES),
        limited(
            _process(
                "Open File Descriptors",
                "The share of the allowed number that is in use: at 100 % no connection and no child can be made.",
                Vector(f"{foreign('process_open_fds')} / {foreign('process_max_fds')}", foreign("up").labels),
                RATIO,
            ),
            (0.8, ORANGE),
            (0.95, RED),
        ),
        lines(
            "Children That Went",
            "Recycled: after max-tasks-per-child or max-memory-per-child. Killed: by a signal, the kernel's memory "
            "killer's among them. Exited: by themselves. Timed out: at a hard limit.",
            Query(series(catalogue.PROCESS_EXITS).per_second().total("worker", "reason"), "{{worker}} {{reason}}"),
            unit=RATE,
            nothing="No worker has been scraped",
        )
        .data_links([links.narrowed("worker")])
        .links(links.runbook("CeleryProcessesLost"))
        .span(8),
        limited(
            lines(
                "Event Loop Lag",
                "For how long each worker's event loop has not turned, less the time that a full pool holds it up. A "
                "worker that is connected but stuck climbs here. The solo pool has no loop.",
                Query(series(catalogue.LOOP_STALL).by("max", "worker"), "{{worker}}"),
                unit=SECONDS,
                nothing="No worker with an event loop has been scraped",
            ),
            (30, ORANGE),
            (60, RED),
        )
        .data_links([links.narrowed("worker")])
        .links(links.runbook("CeleryWorkerStuck"))
        .span(8),
        _process("Uptime", "How long ago each worker was started.", _uptime(), SECONDS).links(
            links.runbook("CeleryWorkerFlapping"),
        ),
    ]


def _process(title: str, about: str, measured: Vector, unit: str) -> Any:
    """Draw a figure of the process collector, with the worker's name on it."""
    query = Query(of_workers(measured, catalogue.WORKER_INFO).by("max", "worker"), "{{worker}}")
    return lines(title, about, query, unit=unit, nothing=NOBODY).data_links([links.narrowed("worker")]).span(8)


def _uptime() -> Vector:
    started = foreign("process_start_time_seconds")
    return Vector(f"(time() - {started})", started.labels)
