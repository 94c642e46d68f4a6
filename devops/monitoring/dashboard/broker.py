"""The broker as the workers see it, and everything that is scraped besides them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devops.monitoring.dashboard import links
from devops.monitoring.dashboard.promql import Vector, foreign, series
from devops.monitoring.dashboard.style import (
    BYTES,
    COUNT,
    GREEN,
    ORANGE,
    RATE,
    RED,
    SECONDS,
    Query,
    coloured,
    figures,
    lines,
    worded,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric

TITLE = "Broker and Exporters"
NOBODY = "No worker has been scraped"
NO_REDIS = "No redis_exporter is scraped, or its Redis is down"
NO_POSTGRES = "No postgres_exporter is scraped, or its PostgreSQL is down"


def panels() -> list[Any]:
    """Make the row's panels."""
    return [*_broker(), *_ours(), *_scraping(), *_redis(), *_postgres()]


def _broker() -> list[Any]:
    connected = _state(
        "Broker Connection",
        "Whether each worker's consumer has its connection to the broker.",
        Query(series(catalogue.BROKER_CONNECTED).by("min", "worker"), "{{worker}}"),
        {0: ("Disconnected", RED), 1: ("Connected", GREEN)},
        nothing=NOBODY,
    )
    return [
        connected.data_links([links.narrowed("worker")]).links(links.runbook("CeleryBrokerDisconnected")).span(8),
        _rated(
            "Broker Reconnects",
            "How often a lost connection came back.",
            catalogue.BROKER_RECONNECTS,
            "worker",
            alert="CeleryBrokerConnectionUnstable",
        ).span(8),
        _rated(
            "Unknown Messages",
            "Messages that never became a task: of a task that is not registered, undecodable, or invalid.",
            catalogue.MESSAGES_UNKNOWN,
            "worker",
            "reason",
            alert="CeleryMessagesUnknown",
        ).span(8),
    ]


def _ours() -> list[Any]:
    firing = foreign("ALERTS", 'alertstate="firing"')
    return [
        _rated(
            "Internal Errors",
            "Exceptions of otel-celery's own that were kept from the worker: what they concern may be missing above.",
            catalogue.INTERNAL_ERRORS,
            "where",
            alert="OtelCeleryInternalErrors",
        ).span(6),
        _rated(
            "Dropped Points",
            "What tasks recorded with OpenTelemetry, and the worker neither shows nor pushes, by reason.",
            catalogue.RELAY_DROPPED,
            "reason",
            alert="OtelCeleryPointsDropped",
        ).span(6),
        _rated(
            "Folded Labels",
            "Label values that are counted as `other`, because there were more than the bound allows.",
            catalogue.FOLDED,
            "what",
            alert="CeleryLabelsFolded",
        ).span(6),
        coloured(
            figures(
                "Firing Alerts",
                "How many alerts Prometheus holds to be firing, and which.",
                Query(Vector(f"{firing.by('count')} or vector(0)", frozenset()), "All"),
                Query(firing.by("count", "alertname"), "{{alertname}}"),
                unit=COUNT,
            ),
            GREEN,
            (1, RED),
        ).span(6),
    ]


def _scraping() -> list[Any]:
    up = _state(
        "Targets",
        "Whether each target answered Prometheus's last request, the exporters' among them.",
        Query(foreign("up").by("min", "job", "instance"), "{{job}} {{instance}}"),
        {0: ("Down", RED), 1: ("Up", GREEN)},
        nothing="Prometheus has no target",
    )
    return [
        up.links(links.runbook("CeleryTargetsMissing", "CeleryScrapeFailing")).span(8),
        lines(
            "Scrape Duration",
            "How long each target took to answer.",
            Query(foreign("scrape_duration_seconds").by("max", "job", "instance"), "{{job}} {{instance}}"),
            unit=SECONDS,
            nothing="Prometheus has no target",
        ).span(8),
        lines(
            "Series of each Target",
            "Samples a scrape, after relabelling: what the target costs Prometheus. At sample_limit the scrape fails.",
            Query(
                foreign("scrape_samples_post_metric_relabeling").by("max", "job", "instance"), "{{job}} {{instance}}"
            ),
            unit=COUNT,
            nothing="Prometheus has no target",
        )
        .links(links.runbook("CelerySeriesDropped"))
        .span(8),
    ]


def _redis() -> list[Any]:
    clients = {"connected": "redis_connected_clients", "blocked": "redis_blocked_clients"}
    traffic = {"commands": "redis_commands_processed_total", "evicted keys": "redis_evicted_keys_total"}
    return [
        _up("Redis", "redis_up", "redis_exporter", "RedisDown", "RedisExporterDown"),
        lines(
            "Redis Memory",
            "What the broker holds in memory. Evicted keys may be messages: give it a policy of noeviction.",
            Query(foreign("redis_memory_used_bytes").by("max", "instance"), "{{instance}}"),
            unit=BYTES,
            nothing=NO_REDIS,
        ).span(7),
        lines(
            "Redis Clients",
            "Connections; those of waiting workers are blocked in BRPOP.",
            *(Query(foreign(name).total("instance"), f"{{{{instance}}}} {what}") for what, name in clients.items()),
            unit=COUNT,
            nothing=NO_REDIS,
        ).span(7),
        lines(
            "Redis Commands",
            "Commands a second, and keys that Redis threw away for want of memory.",
            *(
                Query(foreign(name).per_second().total("instance"), f"{{{{instance}}}} {what}")
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
            Query(foreign("pg_stat_database_numbackends", 'datname!=""').total("datname"), "{{datname}}"),
            unit=COUNT,
            nothing=NO_POSTGRES,
        ).span(10),
        lines(
            "PostgreSQL Transactions",
            "How transactions ended, and deadlocks, a second.",
            *(
                Query(foreign(name).per_second().total("instance"), f"{{{{instance}}}} {what}")
                for what, name in ends.items()
            ),
            unit=RATE,
            nothing=NO_POSTGRES,
        ).span(11),
    ]


def _up(title: str, name: str, exporter: str, *alerts: str) -> Any:
    panel = _state(
        title,
        f"Whether {exporter} reaches its server.",
        Query(foreign(name).by("min", "instance"), "{{instance}}"),
        {0: ("Down", ORANGE), 1: ("Up", GREEN)},
        nothing=f"No {exporter} is scraped",
    )
    return panel.links(links.runbook(*alerts)).span(3)


def _rated(title: str, about: str, metric: Metric, *labels: str, alert: str) -> Any:
    """Draw how often something happens, by these labels, beside the alert that tells of it."""
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    panel = lines(title, about, Query(series(metric).per_second().total(*labels), legend), unit=RATE, nothing=NOBODY)
    return panel.links(links.runbook(alert))


def _state(title: str, about: str, query: Query, words: dict[int, tuple[str, str]], *, nothing: str) -> Any:
    """Show whether something is as it should be, 1, or not, 0, in words and in their colours."""
    panel = figures(title, about, query, unit="none", nothing=nothing)
    return worded(coloured(panel, words[0][1], (1, words[1][1])), words)
