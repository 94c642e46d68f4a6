"""One worker or one task looked at closely: its histogram, its exceptions, and what it works on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.watch import families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_celery.watch.exposition import Series
    from otel_celery.watch.totals import Totals
    from otel_celery.watch.watched import Watched

Counts = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """What is told of one worker, or of one task."""

    buckets: tuple[tuple[float, int], ...]
    """How many runs took up to each bound and longer than the one before, in seconds; the last bound is infinite."""
    is_recent: bool
    """Whether the buckets are of the last minute; else, since nothing ended within it, of all since the start."""
    exceptions: Counts
    """Failures by class of exception, since the start, the most first."""
    ends: Counts
    """Ended runs, since the start: of a worker by task, of a task by status."""
    queues: tuple[str, ...]
    """What a worker consumes; where a task's messages came from."""


def of_worker(watched: Watched, totals: Totals, worker: str) -> Detail:
    """Look at one worker of an endpoint."""

    def is_ours(labels: Mapping[str, str]) -> bool:
        return labels.get("worker", "") == worker

    recent = totals.buckets(("duration", watched.endpoint.url, worker))
    queues = [queue for name, queue, _ in watched.by(families.CONSUMES, "queue") if name == worker]
    return _detail([watched], recent, is_ours, "task_name", queues)


def of_task(watched: Iterable[Watched], totals: Totals, pool: str, task: str) -> Detail:
    """Look at one task of a pool."""
    members = [each for each in watched if any(node.pool == pool for node in each.nodes)]

    def is_ours(labels: Mapping[str, str]) -> bool:
        return labels.get("task_name") == task

    recent = totals.buckets(("task duration", pool, task))
    queues = {
        s.labels.get("queue", "")
        for each in members
        for s in each.page[families.TASKS]
        if is_ours(s.labels) and s.value
    }
    return _detail(members, recent, is_ours, "status", sorted(queues))


def _detail(
    watched: Iterable[Watched],
    recent: Mapping[float, float],
    is_ours: Callable[[Mapping[str, str]], bool],
    ends_by: str,
    queues: Iterable[str],
) -> Detail:
    watched = list(watched)
    is_recent = any(recent.values())
    buckets = recent if is_recent else _summed(watched, families.DURATION, is_ours, families.bound)
    return Detail(
        buckets=_apart(buckets),
        is_recent=is_recent,
        exceptions=_most(_summed(watched, families.EXCEPTIONS, is_ours, lambda of: of.get("exception", ""))),
        ends=_most(_summed(watched, families.TASKS, is_ours, lambda of: of.get(ends_by, ""))),
        queues=tuple(queues),
    )


def _summed(
    watched: Iterable[Watched],
    name: str,
    is_ours: Callable[[Mapping[str, str]], bool],
    key: Callable[[Mapping[str, str]], families.K],
) -> dict[families.K, float]:
    found: defaultdict[families.K, float] = defaultdict(float)
    series: Iterable[Series] = (series for each in watched for series in each.page[name])
    for each in series:
        if is_ours(each.labels):
            found[key(each.labels)] += each.value or 0.0
    return found


def _most(counts: Mapping[str, float]) -> Counts:
    return tuple((name, int(n)) for name, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if n)


def _apart(cumulative: Mapping[float, float]) -> tuple[tuple[float, int], ...]:
    """Take each bucket's part out of the cumulative counts."""
    below, parts = 0.0, []
    for bound in sorted(cumulative):
        parts.append((bound, int(cumulative[bound] - below)))
        below = cumulative[bound]
    return tuple(parts)
