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

ENVIRONMENT = "$environment_label"
"""The label that parts environments, as the constant of that name says: `env`, unless an operator has another."""

TARGET = ("job", "instance", "pool", ENVIRONMENT)
"""The labels that Prometheus gives to a target; ``pool`` and the environment are the scrape configuration's."""

VARIABLES = {
    "job": "$job",
    ENVIRONMENT: "$environment",
    "pool": "$pool",
    "queue": "$queue",
    "worker": "$worker",
    "task_name": "$task",
}
"""Which of the dashboard's variables narrows which label."""

POOLLESS = ("celery.beat.", "celery.queue.", "otel_celery.queue.")
"""How metrics begin that are no worker's: a choice of pools is none between them."""

RECORDED = {
    "target_worker": (*TARGET, "worker"),
    "worker": ("worker", "pool", "job", ENVIRONMENT),
    "pool": ("pool", "job", ENVIRONMENT),
    "pool_status": ("pool", "status", "job", ENVIRONMENT),
    "pool_task": ("pool", "task_name", "job", ENVIRONMENT),
    "queue": ("queue", ENVIRONMENT),
}
"""The levels of the recording rules that are read here, and the labels that each leaves."""

NAMED = {"queue": ['queue!=""']}
"""What a level's series have besides: another exporter's queues, whose label rules.yml takes away, stay out."""

ALERT = ("alertname", "alertstate", "severity", "worker", "task_name", "queue")

FOREIGN = {
    "up": (),
    "scrape_duration_seconds": (),
    "scrape_samples_post_metric_relabeling": (),
    "target_info": ("service_version",),
    "ALERTS": ALERT,
    "ALERTS_FOR_STATE": ALERT,
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

JOBS = {"redis": "redis", "pg": "postgres"}
"""The job of an exporter, by the first word of its metrics: as prometheus.yml has it, and the alerts."""

MOST = 10
"""How many series each query of a panel draws at most: three queries of a panel are thirty lines."""


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

    def peak(self) -> Vector:
        """Take the highest value of a level in the whole time that is shown."""
        return Vector(f"max_over_time({self.text}[$__range] @ end())", self.labels)

    def last(self) -> Vector:
        """Take the last value of a level in the whole time that is shown."""
        return Vector(f"last_over_time({self.text}[$__range] @ end())", self.labels)

    def throughout(self) -> Vector:
        """Take the same over the whole time that is shown, once for all points of a line."""
        text = self.text.replace("rate(", "increase(").replace("[$__rate_interval]", "[$__range] @ end()")
        return Vector(text, self.labels)

    def leading(self, ranking: Vector | None = None) -> Vector:
        """Leave the series that are highest over the whole time that is shown: the same ones at each point."""
        ranked = ranking or self.throughout()
        return Vector(f"{self} and topk({MOST}, {ranked})", self.labels)

    def top(self, number: int = MOST) -> Vector:
        """Leave the highest series of now, the highest first."""
        return Vector(f"sort_desc(topk({number}, {self}))", self.labels)

    def bottom(self, number: int) -> Vector:
        """Leave the lowest series of now, the lowest first."""
        return Vector(f"sort(bottomk({number}, {self}))", self.labels)

    def highest(self, operator: str, *labels: str) -> Vector:
        """Aggregate a level to the series of these labels, and leave those that were highest while it is shown."""
        return self.by(operator, *labels).leading(self.peak().by(operator, *labels))

    def where(self, other: Vector) -> Vector:
        """Leave the series that have a like one in another vector, whatever labels just one of the two carries."""
        apart = ", ".join(sorted(self.labels ^ other.labels))
        return Vector(f"{self} and {f'ignoring ({apart}) ' if apart else ''}{other}", self.labels)

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
    return _select(exported_name(metric), _labels(metric))


def narrowed(metric: Metric, *labels: str) -> str:
    """Select a metric of the catalogue, as the variables of nothing but these labels narrow it."""
    Vector(exported_name(metric), frozenset(_labels(metric))).require(labels)
    return _selector(exported_name(metric), _matchers(labels))


def buckets(metric: Metric) -> Vector:
    """Select the buckets of a histogram of the catalogue."""
    return _select(f"{exported_name(metric)}_bucket", (*_labels(metric), "le"))


def mean(metric: Metric, *labels: str) -> Vector:
    """Take the mean of a histogram of the catalogue, for each value of these labels; of nothing there is none."""
    name, own = exported_name(metric), _labels(metric)
    total, number = (_select(f"{name}_{part}", own).per_second().total(*labels) for part in ("sum", "count"))
    return Vector(f"{total} / ({number} > 0)", frozenset(labels))


def recorded(level: str, metric: Metric, operations: str, per: str = "") -> Vector:
    """Select what rules.yml records of a metric at this level, ``per`` another one where it is a ratio."""
    return _recorded(level, recorded_name(level, metric, operations, per))


def recorded_name(level: str, metric: Metric, operations: str, per: str = "") -> str:
    """Name what rules.yml records of a metric at this level: all of it, whatever is chosen above."""
    return f"{level}:{exported_name(metric).removesuffix('_total')}{per}:{operations}"


def recorded_as(level: str, name: str) -> Vector:
    """Select what rules.yml records at this level under a name of its own."""
    return _recorded(level, f"{level}:{name}")


def foreign(name: str, *matchers: str) -> Vector:
    """Select a metric that is not the catalogue's, of our own targets or of the exporters that prometheus.yml names.

    Only those of ``FOREIGN`` are known to be there.
    """
    exporter = JOBS.get(name.partition("_")[0])
    chosen = [f'job="{exporter}"', *_matchers([ENVIRONMENT])] if exporter else _matchers(["job", ENVIRONMENT])
    return Vector(_selector(name, [*chosen, *matchers]), frozenset((*TARGET, *FOREIGN[name])))


def beside(name: str) -> Vector:
    """Select a metric of Prometheus's own about both exporters, which are chosen by no variable."""
    matchers = [f'job=~"{"|".join(JOBS.values())}"', *_matchers([ENVIRONMENT])]
    return Vector(_selector(name, matchers), frozenset((*TARGET, *FOREIGN[name])))


def either(name: str, *chosen: tuple[str, ...]) -> Vector:
    """Select a metric that is not the catalogue's by one or another set of matchers, and by the environment."""
    selected = [_selector(name, [*matchers, *_matchers([ENVIRONMENT])]) for matchers in chosen]
    return Vector(f"({' or '.join(selected)})", frozenset((*TARGET, *FOREIGN[name])))


def of_workers(vector: Vector, info: Metric) -> Vector:
    """Leave of a process's metric what is a worker's, and add the worker's name.

    By all labels but the worker's own, so that two environments in which a target has one address stay two.
    """
    text = f"{vector} * ignoring ({', '.join(info.attributes)}) group_left (worker) {series(info)}"
    return Vector(text, vector.labels | {"worker"})


def quantile(fraction: float, metric: Metric, *labels: str) -> Vector:
    """Estimate a quantile of a histogram of the catalogue, for each value of these labels."""
    return _quantile(fraction, buckets(metric).per_second(), labels)


def quantile_shown(fraction: float, metric: Metric, *labels: str) -> Vector:
    """Estimate it of all observations of the time that is shown; what has none is left out."""
    whole = _quantile(fraction, buckets(metric).growth("$__range"), labels)
    return Vector(f"{whole} >= 0", whole.labels)


def _quantile(fraction: float, observed: Vector, labels: tuple[str, ...]) -> Vector:
    return Vector(f"histogram_quantile({fraction:g}, {observed.total(*labels, 'le')})", frozenset(labels))


def _labels(metric: Metric) -> tuple[str, ...]:
    """Give a metric's labels: a target's first, then its own."""
    target = (one for one in TARGET if one != "pool") if metric.name.startswith(POOLLESS) else TARGET
    return (*target, *metric.attributes)


def _recorded(level: str, name: str) -> Vector:
    labels = RECORDED[level]
    return Vector(_selector(name, [*_matchers(labels), *NAMED.get(level, [])]), frozenset(labels))


def _select(name: str, labels: tuple[str, ...]) -> Vector:
    return Vector(_selector(name, _matchers(labels)), frozenset(labels))


def _matchers(labels: Iterable[str]) -> list[str]:
    return [f'{label}=~"{variable}"' for label, variable in VARIABLES.items() if label in labels]


def _selector(name: str, matchers: list[str]) -> str:
    return f"{name}{{{', '.join(matchers)}}}" if matchers else name
