"""PromQL made of the catalogue's metrics: a name or a label that is no longer there fails here, not on a screen.

Every selection is narrowed by the dashboard's variables, every rate taken over Grafana's own ``$__rate_interval``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.record.reference import exported_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.catalogue import Metric

TARGET = ("job", "instance", "pool")
"""The labels that Prometheus gives to a target; ``pool`` is the scrape configuration's."""

VARIABLES = {"pool": "$pool", "worker": "$worker", "task_name": "$task"}
"""Which of the dashboard's variables narrows which label."""

RECORDED = {
    "worker": ("worker", "pool", "job"),
    "pool_task": ("pool", "task_name", "job"),
    "queue": ("queue",),
}
"""The levels of the recording rules that are read here, and the labels that each leaves."""

FOREIGN = {
    "up": (),
    "scrape_duration_seconds": (),
    "scrape_samples_post_metric_relabeling": (),
    "ALERTS": ("alertname", "alertstate", "severity"),
    "process_cpu_seconds_total": (),
    "process_resident_memory_bytes": (),
    "process_open_fds": (),
    "process_max_fds": (),
    "process_start_time_seconds": (),
    "redis_up": (),
    "redis_memory_used_bytes": (),
    "redis_connected_clients": (),
    "redis_blocked_clients": (),
    "redis_commands_processed_total": (),
    "redis_evicted_keys_total": (),
    "pg_up": (),
    "pg_stat_database_numbackends": ("datname",),
    "pg_stat_database_xact_commit": ("datname",),
    "pg_stat_database_xact_rollback": ("datname",),
    "pg_stat_database_deadlocks": ("datname",),
}
"""What is not the catalogue's: Prometheus's own, the process collector's, and both exporters', with their labels."""


class UnknownLabelError(LookupError):
    """An expression names a label that its metric does not have."""


@dataclass(frozen=True, slots=True)
class Vector:
    """An expression, and the labels that its series carry."""

    text: str
    labels: frozenset[str]

    def __str__(self) -> str:
        return self.text

    def require(self, labels: Iterable[str]) -> None:
        """Refuse labels that the series do not carry."""
        missing = sorted(set(labels) - self.labels)
        if missing:
            raise UnknownLabelError(f"{self.text} has no label {', '.join(missing)}: it has {sorted(self.labels)}")

    def per_second(self) -> Vector:
        """Take the rate of a counter."""
        return Vector(f"rate({self.text}[$__rate_interval])", self.labels)

    def over_time(self, operator: str) -> Vector:
        """Aggregate a level's samples, with ``avg`` or ``max``, over the time that a rate is taken of."""
        return Vector(f"{operator}_over_time({self.text}[$__rate_interval])", self.labels)

    def growth(self, over: str = "$__rate_interval") -> Vector:
        """Take the increase of a counter."""
        return Vector(f"increase({self.text}[{over}])", self.labels)

    def by(self, operator: str, *labels: str) -> Vector:
        """Aggregate, with ``sum``, ``max`` and the like, to the series of these labels; of none, to one series."""
        self.require(labels)
        clause = f" by ({', '.join(labels)}) " if labels else ""
        return Vector(f"{operator}{clause}({self.text})", frozenset(labels))

    def total(self, *labels: str) -> Vector:
        """Sum to the series of these labels."""
        return self.by("sum", *labels)


def series(metric: Metric) -> Vector:
    """Select a metric of the catalogue, as the variables narrow it."""
    return _select(exported_name(metric), metric.attributes)


def narrowed(metric: Metric, *labels: str) -> str:
    """Select a metric of the catalogue, as the variables of nothing but these labels narrow it."""
    everywhere(metric).require(labels)
    return _selector(exported_name(metric), _matchers(labels))


def buckets(metric: Metric) -> Vector:
    """Select the buckets of a histogram of the catalogue."""
    return _select(f"{exported_name(metric)}_bucket", (*metric.attributes, "le"))


def everywhere(metric: Metric) -> Vector:
    """Select a metric of the catalogue, whatever is chosen above."""
    return Vector(exported_name(metric), frozenset((*TARGET, *metric.attributes)))


def recorded(level: str, metric: Metric, operations: str, per: str = "") -> Vector:
    """Select what rules.yml records of a metric at this level, ``per`` another one where it is a ratio."""
    return recorded_as(level, f"{exported_name(metric).removesuffix('_total')}{per}:{operations}")


def recorded_as(level: str, name: str) -> Vector:
    """Select what rules.yml records at this level under a name of its own."""
    return Vector(_selector(f"{level}:{name}", _matchers(RECORDED[level])), frozenset(RECORDED[level]))


def foreign(name: str, *matchers: str) -> Vector:
    """Select a metric that is not the catalogue's; only those of ``FOREIGN`` are known to be there."""
    return Vector(_selector(name, list(matchers)), frozenset((*TARGET, *FOREIGN[name])))


def of_workers(vector: Vector, info: Metric) -> Vector:
    """Leave of a process's metric what is a worker's, and add the worker's name."""
    text = f"{vector} * on (job, instance) group_left (worker) {series(info)}"
    return Vector(text, vector.labels | {"worker"})


def quantile(fraction: float, metric: Metric, *labels: str) -> Vector:
    """Estimate a quantile of a histogram of the catalogue, for each value of these labels."""
    summed = buckets(metric).per_second().total(*labels, "le")
    return Vector(f"histogram_quantile({fraction:g}, {summed})", frozenset(labels))


def _select(name: str, attributes: tuple[str, ...]) -> Vector:
    return Vector(_selector(name, _matchers(("pool", *attributes))), frozenset((*TARGET, *attributes)))


def _matchers(labels: Iterable[str]) -> list[str]:
    return [f'{label}=~"{variable}"' for label, variable in VARIABLES.items() if label in labels]


def _selector(name: str, matchers: list[str]) -> str:
    return f"{name}{{{', '.join(matchers)}}}" if matchers else name
