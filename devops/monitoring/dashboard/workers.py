"""Workers: what each of them is and runs, how full its slots are, and whether it hears its broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devops.monitoring.dashboard import links, tables
from devops.monitoring.dashboard.promql import ENVIRONMENT, Vector, foreign, recorded_as, series
from devops.monitoring.dashboard.style import (
    COUNT,
    GREEN,
    HIGHEST,
    ORANGE,
    RATE,
    RATIO,
    RED,
    SECONDS,
    Query,
    bounding,
    limited,
    lines,
    ranked,
    state,
)
from otel_celery import catalogue

if TYPE_CHECKING:
    from otel_celery.catalogue import Metric

TITLE = "Workers"
NOBODY = "No worker has been scraped"
TILES = 24
UTILISATION = recorded_as("worker", "celery_worker_utilisation:ratio")


def panels() -> list[Any]:
    """Make the row's panels."""
    return [
        _counts().span(8).height(9),
        tables.workers().span(16).height(9),
        *(panel.span(12) for panel in (utilisation(), slots(), kept_waiting(), ranked(oldest()))),
        *(panel.span(6) for panel in (connection(), reconnects(), unknown(), loop_lag())),
    ]


def _counts() -> Any:
    targets = foreign("up", 'pool=~"$pool"', 'pool!=""')
    silent = Vector(f"{targets} == bool 0", targets.labels)
    columns = (
        tables.Column("Targets", COUNT, targets.by("count", "pool")),
        tables.Column("Silent", COUNT, silent.total("pool")),
        tables.Column("Draining", COUNT, series(catalogue.DRAINING).total("pool")),
        tables.Column("Slots", COUNT, series(catalogue.POOL_SIZE).total("pool")),
        tables.Column("Active", COUNT, series(catalogue.TASKS_ACTIVE).total("pool")),
    )
    return tables.table(
        "Pools",
        "How many targets each pool has, how many of them do not answer, how many workers drain, how many slots there "
        "are together, and how many of these run a task.",
        columns,
        heads={"pool": "Pool"},
        sorted_by="Silent",
    ).links(links.runbook("CeleryPoolWithoutWorkers", "CeleryTooFewWorkers"))


def utilisation() -> Any:
    """Draw how full each worker is."""
    panel = lines(
        "Utilisation of Workers",
        "The share of a worker's slots that run a task, averaged over at least four scrapes. Recorded by rules.yml. "
        f"{HIGHEST}",
        Query(UTILISATION.over_time("avg").by("max", "worker").leading(), "{{worker}}"),
        unit=RATIO,
        nothing="Nothing recorded: does Prometheus load rules.yml?",
    )
    return (
        limited(ranked(panel).max(1), (0.8, ORANGE), (0.95, RED))
        .data_links([links.page("worker"), links.narrowed("worker")])
        .links(links.runbook("CeleryPoolSaturated"))
    )


def slots() -> Any:
    """Draw how many slots there are, and how many are taken."""
    size, taken = series(catalogue.POOL_SIZE), series(catalogue.TASKS_ACTIVE)
    panel = lines(
        "Slots",
        "The pool's size, dashed, which autoscale moves, and how many of its slots are taken, averaged over at least "
        f"four scrapes. {HIGHEST}",
        Query(size.highest("sum", "pool"), "{{pool}} size"),
        Query(taken.over_time("avg").total("pool").leading(), "{{pool}} taken"),
        unit=COUNT,
        nothing=NOBODY,
    )
    return bounding(ranked(panel).decimals(1), "/ size$/").data_links([links.narrowed("pool")])


def kept_waiting() -> Any:
    """Draw what waits inside workers."""
    levels = {"reserved": series(catalogue.TASKS_RESERVED), "scheduled": series(catalogue.TASKS_SCHEDULED)}
    queries = (Query(level.highest("sum", "worker"), f"{{{{worker}}}} {what}") for what, level in levels.items())
    panel = lines(
        "Reserved and Scheduled Tasks",
        f"Reserved: received, and waiting for a free slot. Scheduled: held for an ETA or a rate limit. {HIGHEST}",
        *queries,
        unit=COUNT,
        nothing=NOBODY,
    )
    return ranked(panel).data_links([links.page("worker"), links.narrowed("worker")])


def oldest(label: str = "pool") -> Any:
    """Draw the longest runs that have not ended."""
    ages = series(catalogue.OLDEST_ACTIVE).over_time("max").by("max", label, "task_name")
    panel = lines(
        "Oldest Running Task",
        "The age of the longest run within at least four scrapes, by task. A line that climbs and never falls is a "
        f"task that hangs. {HIGHEST}",
        Query(ages.leading(), f"{{{{{label}}}}} {{{{task_name}}}}"),
        unit=SECONDS,
        nothing="Nothing is running",
    )
    return panel.data_links([links.page("task"), links.narrowed("task")]).links(
        links.runbook("CeleryTaskRunningTooLong")
    )


def connection() -> Any:
    """Tell who has its broker."""
    connected = series(catalogue.BROKER_CONNECTED).by("min", "worker", ENVIRONMENT)
    panel = state(
        "Broker Connection",
        f"Whether each worker's consumer has its connection to the broker: those without first, {TILES} at most.",
        Query(connected.bottom(TILES), "{{worker}}"),
        {0: ("Disconnected", RED), 1: ("Connected", GREEN)},
        nothing=NOBODY,
    )
    return panel.data_links([links.page("worker"), links.narrowed("worker")]).links(
        links.runbook("CeleryBrokerDisconnected")
    )


def reconnects() -> Any:
    """Draw how often brokers were lost."""
    return _rated(
        "Broker Reconnects",
        "How often a lost connection came back.",
        catalogue.BROKER_RECONNECTS,
        "worker",
        alert="CeleryBrokerConnectionUnstable",
    )


def unknown() -> Any:
    """Draw messages that nobody knew what to do with."""
    return _rated(
        "Unknown Messages",
        "Messages that never became a task: of a task that is not registered, undecodable, or invalid.",
        catalogue.MESSAGES_UNKNOWN,
        "worker",
        "reason",
        alert="CeleryMessagesUnknown",
    )


def loop_lag() -> Any:
    """Draw for how long loops have stood."""
    return (
        limited(
            lines(
                "Event Loop Lag",
                "For how long each worker's event loop has not turned, less the time that a full pool holds it up. A "
                f"worker that is connected but stuck climbs here. The solo pool has no loop. {HIGHEST}",
                Query(series(catalogue.LOOP_STALL).highest("max", "worker"), "{{worker}}"),
                unit=SECONDS,
                nothing="No worker with an event loop has been scraped",
            ),
            (30, ORANGE),
            (60, RED),
        )
        .data_links([links.page("worker"), links.narrowed("worker")])
        .links(links.runbook("CeleryWorkerStuck"))
    )


def _rated(title: str, about: str, metric: Metric, *labels: str, alert: str) -> Any:
    """Draw how often something happens, by these labels, beside the alert that tells of it."""
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    counted = series(metric).per_second().total(*labels)
    panel = lines(title, f"{about} {HIGHEST}", Query(counted.leading(), legend), unit=RATE, nothing=NOBODY)
    return panel.data_links([links.page("worker")]).links(links.runbook(alert))
