"""Read the state of each pool from the metrics on its port."""

from __future__ import annotations

import http.client
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from otel_celery.pools import client
from otel_celery.quantile import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_celery.pools.plan import Pool
    from otel_celery.settings.settings import Port

OK = 200

UP = "celery_worker_up"
ACTIVE = "celery_worker_tasks_active"
SIZE = "celery_worker_pool_size"
DRAINING = "celery_worker_draining"
CONNECTED = "celery_worker_broker_connected"
RECEIVED = "celery_task_received_total"
FAILED = "celery_task_failed_total"
BUCKET = "celery_task_duration_seconds_bucket"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one pool at one moment; all numbers are None if the pool does not answer."""

    pool: str
    port: int
    up: bool = False
    draining: bool = False
    """Whether it was told to stop, and finishes what it runs."""
    connected: bool = True
    """Whether it has its broker."""
    active: int | None = None
    size: int | None = None
    received: int | None = None
    failed: int | None = None
    p95: float | None = None
    """The 95th percentile of the tasks' duration, in seconds; None too if no task has ended yet."""


def ask(pools: Sequence[Pool], port: Port, timeout: float, identity: client.Identity | None = None) -> list[Status]:
    """Scrape all pools at once, with a timeout in seconds; ``port`` is their Port, save for the number."""

    def one(pool: Pool) -> Status:
        try:
            status, body = client.get(port._replace(number=pool.port), "/metrics", timeout, identity)
            return read(pool.name, pool.port, body if status == OK else "")
        except (OSError, http.client.HTTPException, ValueError):  # ValueError: an invalid exposition
            return Status(pool.name, pool.port)

    with ThreadPoolExecutor(max_workers=len(pools)) as threads:
        return list(threads.map(one, pools))


def read(pool: str, port: int, exposition: str) -> Status:
    """Read a pool's numbers from its exposition, summed over tasks and queues.

    Raises ValueError if the exposition is invalid.
    """
    sums: Counter[str] = Counter()
    buckets: Counter[float] = Counter()
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name in {UP, ACTIVE, SIZE, DRAINING, CONNECTED, RECEIVED, FAILED}:
                sums[sample.name] += int(sample.value)
            elif sample.name == BUCKET:
                buckets[float(sample.labels["le"])] += int(sample.value)
    if UP not in sums:
        return Status(pool, port)
    return Status(
        pool,
        port,
        up=sums[UP] > 0,
        draining=sums[DRAINING] > 0,
        connected=sums[CONNECTED] > 0 or CONNECTED not in sums,
        active=sums[ACTIVE],
        size=sums[SIZE],
        received=sums[RECEIVED],
        failed=sums[FAILED],
        p95=quantile(0.95, buckets),
    )
