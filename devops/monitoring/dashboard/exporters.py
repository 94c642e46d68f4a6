"""What is scraped, what the scrapes cost, what otel-celery says of itself, and the servers beside the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, beside, foreign, series
from devops.monitoring.dashboard.style import (
    BYTES,
    COUNT,
    GREEN,
    HIGHEST,
    ORANGE,
    RATE,
    RED,
    SECONDS,
    Query,
    lines,
    state,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric

TITLE = "Exporters"
TILES = 24
NOBODY = "No worker has been scraped"
NO_REDIS = "No redis_exporter is scraped, or its Redis is down"
NO_POSTGRES = "No postgres_exporter is scraped, or its PostgreSQL is down"


def panels() -> list[Any]:
    """Make the row's panels."""
    return [*_scraping(), *_ours(), *_redis(), *_postgres()]


def _scraping() -> list[Any]:
    targets = Vector(f"({foreign('up')} or {beside('up')})", foreign("up").labels)
    up = state(
        "Targets",
        "Whether each target of the chosen jobs, and both exporters, answered Prometheus's last request: those that "
        f"did not first, {TILES} at most.",
        Query(targets.by("min", "job", "instance").bottom(TILES), "{{job}} {{instance}}"),
        {0: ("Down", RED), 1: ("Up", GREEN)},
        nothing="Prometheus has no target of these jobs",
    )
    return [
        up.links(links.runbook("CeleryTargetsMissing", "CeleryScrapeFailing")).span(8),
        _scraped("Scrape Duration", "How long each target took to answer.", "scrape_duration_seconds", SECONDS),
        _scraped(
            "Series of each Target",
            "Samples a scrape, after relabelling: what the target costs Prometheus. At sample_limit the scrape fails.",
            "scrape_samples_post_metric_relabeling",
            COUNT,
        ).links(links.runbook("CelerySeriesDropped")),
    ]


def _scraped(title: str, about: str, name: str, unit: str) -> Any:
    measured = foreign(name).highest("max", "job", "instance")
    nothing = "Prometheus has no target of these jobs"
    panel = lines(title, f"{about} {HIGHEST}", Query(measured, "{{job}} {{instance}}"), unit=unit, nothing=nothing)
    return panel.span(8)


def _ours() -> list[Any]:
    return [
        _rated(
            "Internal Errors",
            "Exceptions of otel-celery's own that were kept from the worker: what they concern may be missing above.",
            catalogue.INTERNAL_ERRORS,
            "where",
            alert="OtelCeleryInternalErrors",
        ),
        _rated(
            "Dropped Points",
            "What tasks recorded with OpenTelemetry, and the worker neither shows nor pushes, by reason.",
            catalogue.RELAY_DROPPED,
            "reason",
            alert="OtelCeleryPointsDropped",
        ),
        _rated(
            "Folded Labels",
            "Label values that are counted as `other`, because there were more than the bound allows.",
            catalogue.FOLDED,
            "what",
            alert="CeleryLabelsFolded",
        ),
        lines(
            "Clock Skew",
            "Messages whose publisher's clock was ahead of the worker's, so that their wait counts as zero: by pool.",
            Query(series(catalogue.CLOCK_SKEW).per_second().total("pool").leading(), "{{pool}}"),
            unit=RATE,
            nothing=NOBODY,
        ).span(6),
    ]


def _redis() -> list[Any]:
    clients = {"connected": "redis_connected_clients", "blocked": "redis_blocked_clients"}
    traffic = {"commands": "redis_commands_processed_total", "evicted keys": "redis_evicted_keys_total"}
    return [
        _up("Redis", "redis_up", "redis_exporter", "RedisDown", "RedisExporterDown"),
        lines(
            "Redis Memory",
            "What the broker holds in memory. Evicted keys may be messages: give it a policy of noeviction.",
            Query(foreign("redis_memory_used_bytes").highest("max", "instance"), "{{instance}}"),
            unit=BYTES,
            nothing=NO_REDIS,
        ).span(7),
        lines(
            "Redis Clients",
            "Connections; those of waiting workers are blocked in BRPOP.",
            *(
                Query(foreign(name).highest("sum", "instance"), f"{{{{instance}}}} {what}")
                for what, name in clients.items()
            ),
            unit=COUNT,
            nothing=NO_REDIS,
        ).span(7),
        lines(
            "Redis Commands",
            "Commands a second, and keys that Redis threw away for want of memory.",
            *(
                Query(foreign(name).per_second().total("instance").leading(), f"{{{{instance}}}} {what}")
                for what, name in traffic.items()
            ),
            unit=RATE,
            nothing=NO_REDIS,
        ).span(7),
    ]


def _postgres() -> list[Any]:
    ends = {
        "committed": "pg_stat_database_xact_commit",
        "rolled back": "pg_stat_database_xact_rollback",
        "deadlocks": "pg_stat_database_deadlocks",
    }
    return [
        _up("PostgreSQL", "pg_up", "postgres_exporter", "PostgresDown", "PostgresExporterDown"),
        lines(
            "PostgreSQL Connections",
            "Connections, by database.",
            Query(foreign("pg_stat_database_numbackends", 'datname!=""').highest("sum", "datname"), "{{datname}}"),
            unit=COUNT,
            nothing=NO_POSTGRES,
        ).span(10),
        lines(
            "PostgreSQL Transactions",
            "How transactions ended, and deadlocks, a second.",
            *(
                Query(foreign(name).per_second().total("instance").leading(), f"{{{{instance}}}} {what}")
                for what, name in ends.items()
            ),
            unit=RATE,
            nothing=NO_POSTGRES,
        ).span(11),
    ]


def _up(title: str, name: str, exporter: str, *alerts: str) -> Any:
    panel = state(
        title,
        f"Whether {exporter} reaches its server.",
        Query(foreign(name).by("min", "instance").bottom(TILES), "{{instance}}"),
        {0: ("Down", ORANGE), 1: ("Up", GREEN)},
        nothing=f"No {exporter} is scraped",
    )
    return panel.links(links.runbook(*alerts)).span(3)


def _rated(title: str, about: str, metric: Metric, label: str, *, alert: str) -> Any:
    """Draw how often something happens, by this label, beside the alert that tells of it."""
    query = Query(series(metric).per_second().total(label), f"{{{{{label}}}}}")
    return lines(title, about, query, unit=RATE, nothing=NOBODY).links(links.runbook(alert)).span(6)
