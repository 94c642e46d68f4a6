"""Which pools have consumed which queues: a worker that drains no longer says it, but its counts do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch import families

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_celery.watch.watched import Watched


class Consumed:
    """The pools of each queue since the watch began, the last that consumed it last."""

    def __init__(self) -> None:
        """Begin with none."""
        self._pools: dict[str, dict[str, None]] = {}

    def add(self, watched: Iterable[Watched]) -> None:
        """Learn what the last pages say, also of an endpoint that is away."""
        for each in watched:
            consumes = [(worker, queue) for worker, queue, _ in each.by(families.CONSUMES, "queue")]
            for worker, queue in (*consumes, *_drained(each)):
                pools = self._pools.setdefault(queue, {})
                pool = each.node(worker).pool
                pools.pop(pool, None)
                pools[pool] = None

    def pools(self, queue: str) -> tuple[str, ...]:
        """Name the pools that have consumed a queue, the last one last."""
        return tuple(self._pools.get(queue, ()))


def drained(watched: Iterable[Watched]) -> set[str]:
    """Name the queues whose workers drain."""
    return {queue for each in watched for _, queue in _drained(each)}


def _drained(watched: Watched) -> Iterator[tuple[str, str]]:
    """Tell which queues a worker that drains has taken from, or would have: counters begin at zero."""
    draining = {worker for worker, value in watched.values(families.DRAINING).items() if value}
    for worker, queue, _ in watched.by(families.RECEIVED, "queue"):
        if worker in draining:
            yield worker, queue
