"""Tell workers, tasks, queues and beats as they are now, from what was watched."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from otel_celery.quantile import quantile
from otel_celery.watch import families, states
from otel_celery.watch.exposition import STARTED
from otel_celery.watch.model import Beat, Queue, State, Task, Worker
from otel_celery.watch.totals import MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_celery.watch.families import Key, Node
    from otel_celery.watch.totals import Totals
    from otel_celery.watch.watched import Watched

HOUR = 3600.0


def workers(watched: Iterable[Watched], totals: Totals, stall: float) -> list[Worker]:
    """Tell each worker; one whose loop stands still for longer than ``stall`` seconds is stuck."""
    return [worker for each in watched for worker in _of_endpoint(each, totals, stall)]


def _of_endpoint(watched: Watched, totals: Totals, stall: float) -> Iterable[Worker]:
    if not watched.is_asked:
        return
    if watched.why:
        state = State.FOREIGN if watched.is_foreign else State.AWAY
        for node in watched.nodes or ((watched.node(""),) if watched.is_worker else ()):
            yield Worker(node.url, node.worker or watched.endpoint.address, node.pool, state, watched.why)
        return
    levels = {name: watched.values(name) for name in families.LEVELS[:8]}
    for node in watched.nodes:
        yield _worker(watched, node, {name: values.get(node.worker) for name, values in levels.items()}, totals, stall)


def _worker(watched: Watched, node: Node, levels: Mapping[str, float | None], totals: Totals, stall: float) -> Worker:
    state, why = states.of(levels, stall, is_first=not watched.has_answered_before)
    oldest, task = max(
        ((age, task) for name, task, age in watched.by(families.OLDEST, "task_name") if name == node.worker),
        default=(None, ""),
    )
    exits = [(why, int(n)) for name, why, n in watched.by(families.EXITS, "reason") if name == node.worker]
    info = next((series.labels for series in watched.page[families.INFO] if _is_of(series.labels, node)), {})
    buckets = totals.buckets(("duration", node.url, node.worker))
    started = next(watched.page[STARTED], None)
    return Worker(
        url=node.url,
        name=node.worker,
        pool=node.pool,
        state=state,
        why=why,
        kind=info.get("pool_kind", ""),
        celery=info.get("celery_version", ""),
        otel_celery=info.get("otel_celery_version", ""),
        started=started.value if started else None,
        active=_whole(levels[families.ACTIVE]),
        size=_whole(levels[families.SIZE]),
        reserved=_whole(levels[families.RESERVED]),
        scheduled=_whole(levels[families.SCHEDULED]),
        received=totals.rate(("received", node.url, node.worker)),
        succeeded=totals.rate(("ends", node.url, node.worker, "success")),
        failed=totals.rate(("ends", node.url, node.worker, "failure")),
        retried=totals.rate(("ends", node.url, node.worker, "retry")),
        p50=quantile(0.5, buckets),
        p95=quantile(0.95, buckets),
        oldest=oldest,
        oldest_task=task,
        exits=sum(number for _, number in exits) if exits else None,
        exits_by_reason=tuple(sorted(exits)),
        restarts=watched.page.starts,
        queues=tuple(sorted(queue for name, queue, _ in watched.by(families.CONSUMES, "queue") if name == node.worker)),
    )


def _is_of(labels: Mapping[str, str], node: Node) -> bool:
    return labels.get("worker", "") == node.worker


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def tasks(watched: Sequence[Watched], totals: Totals) -> list[Task]:
    """Tell each task of each pool that has been received, or ran, since its workers started."""
    oldest = _extremes(watched, families.OLDEST, "task_name")
    successes = _extremes(watched, families.LAST_SUCCESS, "task_name")
    exceptions = _exceptions(watched, totals)
    received = {key[1:]: totals.rate(key) for key in totals.owners("task received")}
    ends: defaultdict[Key, dict[str, float]] = defaultdict(dict)
    for key in totals.owners("task ends"):
        ends[key[1:3]][str(key[3])] = totals.rate(key)
    owners = {*received, *ends, *oldest, *successes, *exceptions}
    return [
        _task(
            owner,
            ends[owner],
            totals,
            received.get(owner, 0.0),
            successes.get(owner),
            exceptions.get(owner, ""),
            oldest.get(owner),
        )
        for owner in sorted(owners, key=str)
    ]


def _task(  # noqa: PLR0913, PLR0917  a row of a table
    owner: Key,
    ends: Mapping[str, float],
    totals: Totals,
    received: float,
    success: float | None,
    exception: str,
    oldest: float | None,
) -> Task:
    pool, name = str(owner[0]), str(owner[1])
    succeeded, failed = ends.get("success", 0.0), ends.get("failure", 0.0)
    durations = totals.buckets(("task duration", *owner))
    return Task(
        name=name,
        pool=pool,
        received=received,
        rate=sum(ends.values()),
        succeeded=succeeded,
        failed=failed,
        retried=ends.get("retry", 0.0),
        failure_ratio=failed / (succeeded + failed) if succeeded + failed else None,
        p50=quantile(0.5, durations),
        p95=quantile(0.95, durations),
        wait=_wait(totals, "task", owner),
        last_success=success,
        exception=exception,
        oldest=oldest,
    )


def _wait(totals: Totals, level: str, owner: Key) -> float | None:
    """Tell the 95th percentile of the wait since publishing; where that is not told, since received."""
    since_published = quantile(0.95, totals.buckets((f"{level} wait", *owner)))
    if since_published is not None:
        return since_published
    return quantile(0.95, totals.buckets((f"{level} prefetch", *owner)))


def pool_wait(totals: Totals, pool: str, tasks: Iterable[Task], window: float) -> float | None:
    """Tell the 95th percentile of the wait of a pool's tasks, as ``_wait`` does."""
    names = [task.name for task in tasks if task.pool == pool]
    waits = (totals.summed([(word, pool, name) for name in names], window) for word in ("task wait", "task prefetch"))
    return next((wait for wait in (quantile(0.95, buckets) for buckets in waits) if wait is not None), None)


def _extremes(watched: Iterable[Watched], name: str, label: str) -> dict[Key, float]:
    """Find the greatest value of a family for each pool and label's value."""
    found: dict[Key, float] = {}
    for each in watched:
        for worker, what, value in each.by(name, label):
            key = (each.node(worker).pool, what)
            found[key] = max(value, found.get(key, value))
    return found


def _exceptions(watched: Iterable[Watched], totals: Totals) -> dict[Key, str]:
    """Find the commonest exception of each task: within the last hour, or since its workers started."""
    recent: defaultdict[Key, dict[str, float]] = defaultdict(dict)
    ever: defaultdict[Key, dict[str, float]] = defaultdict(dict)
    for key in totals.owners("exception"):
        if rise := totals.rise(key, HOUR):
            recent[key[1:3]][str(key[3])] = rise
    for each in watched:
        for series in each.page[families.EXCEPTIONS]:
            labels = series.labels
            owner = (each.node(labels.get("worker", "")).pool, labels.get("task_name", ""))
            name = labels.get("exception", "")
            ever[owner][name] = ever[owner].get(name, 0.0) + (series.value or 0.0)
    return {owner: max(counts, key=counts.__getitem__) for owner, counts in {**ever, **recent}.items()}


def queues(watched: Sequence[Watched], totals: Totals, told: Iterable[Worker]) -> list[Queue]:
    """Tell each queue that a broker tells of, or a worker consumes."""
    levels = {
        name: _of_queues(watched, name)
        for name in (families.LENGTH, families.UNACKED, families.AGE, families.CONSUMERS)
    }
    consuming: defaultdict[str, int] = defaultdict(int)
    for worker in told:
        for queue in worker.queues:
            consuming[queue] += 1
    names = sorted({*consuming, *(name for values in levels.values() for name in values)})
    return [
        Queue(
            name=name,
            length=_whole(levels[families.LENGTH].get(name)),
            unacked=_whole(levels[families.UNACKED].get(name)),
            oldest=levels[families.AGE].get(name),
            consumers=_whole(levels[families.CONSUMERS].get(name, consuming[name])),
            received=totals.rate(("queue received", name)),
            wait=_wait(totals, "queue", (name,)),
        )
        for name in names
    ]


def _of_queues(watched: Iterable[Watched], name: str) -> dict[str, float]:
    """Give the greatest value for each queue: several workers may see the same messages."""
    found: dict[str, float] = {}
    for each in watched:
        if each.why:
            continue
        for _, queue, value in each.by(name, "queue"):
            found[queue] = max(value, found.get(queue, value))
    return found


def beats(watched: Iterable[Watched], totals: Totals, now: float) -> list[Beat]:
    """Tell each beat; ``now`` is in seconds since the epoch."""
    return [_beat(each, totals, now) for each in watched if each.page.has_any((families.TICK, families.ENTRIES))]


def _beat(watched: Watched, totals: Totals, now: float) -> Beat:
    url = watched.endpoint.url
    tick = next(watched.page[families.TICK], None)
    entries = next(watched.page[families.ENTRIES], None)
    lags = totals.summed({key[:3] for key in totals.owners("lag") if key[1] == url}, MINUTE)
    return Beat(
        url=url,
        pool=watched.endpoint.pool or watched.endpoint.address,
        entries=_whole(entries.value) if entries else None,
        tick=max(0.0, now - (tick.value or 0.0)) if tick else None,
        sent=sum(totals.rate(key) for key in totals.owners("sent") if key[1] == url),
        unsent=sum(totals.rate(key) for key in totals.owners("unsent") if key[1] == url),
        lag=quantile(0.95, lags),
    )
