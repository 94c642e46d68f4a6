"""The same series from two places, compared without the labels that a Collector adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.collector.store import Store
    from tests.integration.worker.harness import Scrape

Series = dict[tuple[str, frozenset[tuple[str, str | float]]], float]

ADDED = ("__name__", "job", "instance")
OWN = ("target_info", "up", "scrape_")
"""What tells of the resource, and of the Collector's scrape: not a worker's series."""
MOVING = (
    *("process_", "otel_celery_start_timestamp_seconds"),
    *("celery_worker_last_loop_timestamp_seconds", "celery_worker_loop_stall_seconds"),
)
"""What differs between any two scrapes, or is of each process and says not which."""


def shown(*scrapes: Scrape) -> Series:
    """Map each series of these ports to its value."""
    return {_key(s.name, s.labels): s.value for scrape in scrapes for s in scrape.samples if not s.name.startswith(OWN)}


def stored(store: Store) -> Series:
    """Map each series that a database has now to its value."""
    rows = store.query('{__name__!=""}')
    named = {_key(row["labels"]["__name__"], row["labels"]): row["value"] for row in rows}
    return {key: value for key, value in named.items() if not key[0].startswith(OWN)}


def ended(found: Series) -> float:
    """Count the tasks that have ended."""
    return sum(value for (name, _), value in found.items() if name == "celery_tasks_total")


def assert_same(own: Series, arrived: Series) -> int:
    """Hold each series of the workers' ports against what came out of a Collector; return how many are the same."""
    missing, extra = (sorted(map(str, keys)) for keys in (own.keys() - arrived.keys(), arrived.keys() - own.keys()))
    assert (missing, extra) == ([], []), f"missing: {missing[:9]}; extra: {extra[:9]}"
    compared = [key for key in own if not key[0].startswith(MOVING)]
    assert {key: own[key] for key in compared} == {key: arrived[key] for key in compared}
    return len(compared)


def _key(name: str, labels: Mapping[str, str]) -> tuple[str, frozenset[tuple[str, str | float]]]:
    """Make what two samples of the same series share; ``le`` is a number, for it is written in several ways."""
    kept = ((n, v) for n, v in labels.items() if n not in ADDED and not n.startswith("otel_scope_"))
    return name, frozenset((n, float(v) if n == "le" else v) for n, v in kept)
