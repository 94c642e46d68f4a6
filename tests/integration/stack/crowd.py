"""What workers, queues and the rest expose, however many there are: each metric, with each value of its labels."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from devops.monitoring.dashboard.promql import FOREIGN, JOBS
from otel_celery import catalogue
from otel_celery.catalogue import Kind, Metric
from otel_celery.record.reference import exported_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WORDS: Mapping[str, tuple[str, ...]] = {
    "status": ("success", "failure", "retry"),
    "reason": ("killed", "recycled"),
    "limit": ("soft", "hard"),
    "what": ("queue",),
    "where": ("ended",),
    "pool_kind": ("prefork",),
    "concurrency": ("2",),
    "celery_version": ("5.7.0",),
    "otel_celery_version": ("0.1.0",),
    "le": ("1.0", "+Inf"),
}
"""Labels whose values we choose, and some of them. Users name the others, and an exception's class is their code's."""

OF_TARGETS = {
    "up": Kind.GAUGE,
    "scrape_duration_seconds": Kind.GAUGE,
    "scrape_samples_post_metric_relabeling": Kind.GAUGE,
    "process_cpu_seconds_total": Kind.COUNTER,
    "process_resident_memory_bytes": Kind.GAUGE,
    "process_open_fds": Kind.GAUGE,
    "process_max_fds": Kind.GAUGE,
    "process_start_time_seconds": Kind.GAUGE,
}


def crowd(number: int) -> Iterator[tuple[str, dict[str, str], Kind]]:
    """Give each series of so many targets of each job: its name, its labels, and whether it only grows."""
    for place in range(number):
        target = _target(place)
        for name, kind in OF_TARGETS.items():
            yield name, target, kind
        for name in (name for name in FOREIGN if name.startswith((*JOBS,))):
            job = JOBS[name.partition("_")[0]]
            where = {"job": job, "instance": f"{job}-{place}:9121", "datname": f"database-{place}"}
            yield name, where, Kind.COUNTER if name.endswith(("_total", "_commit", "_rollback")) else Kind.GAUGE
        for metric in catalogue.METRICS:
            for labels in _labels(metric, place):
                for name, more in _parts(metric):
                    yield name, {**labels, **more}, metric.kind


def _target(place: int) -> dict[str, str]:
    return {"job": "celery", "instance": f"host-{place}:9101", "pool": f"pool-{place}"}


def _labels(metric: Metric, place: int) -> Iterator[dict[str, str]]:
    """Name the worker, task and so on of this place; and beside it this task on the first worker, and the reverse."""
    named = [label for label in metric.attributes if label not in WORDS]
    chosen = [{label: f"{label}-{place}" for label in named}]
    if place and {"worker", "task_name"} <= {*named}:
        chosen += [{**chosen[0], label: f"{label}-0"} for label in ("worker", "task_name")]
    words = [label for label in metric.attributes if label in WORDS]
    for names, values in product(chosen, product(*(WORDS[label] for label in words))):
        target = _target(0 if names.get("worker") == "worker-0" else place)
        yield {**target, **names, **dict(zip(words, values, strict=True))}


def _parts(metric: Metric) -> Iterator[tuple[str, dict[str, str]]]:
    name = exported_name(metric)
    if metric.kind is not Kind.HISTOGRAM:
        yield name, {}
        return
    yield from ((f"{name}_bucket", {"le": bound}) for bound in WORDS["le"])
    yield from ((f"{name}_{part}", {}) for part in ("sum", "count"))
