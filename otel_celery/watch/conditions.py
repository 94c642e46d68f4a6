"""The alerts' conditions on what was watched: the same as in alerts.yml, by its numbers.

Each function finds what its alert would name, and the figure in words. Two things differ, since Prometheus remembers
and a watch has just begun. A window counts as far as it was watched; and what is less than FEWEST events is no rate and
no ratio, which matters while the window was not watched whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.quantile import quantile
from otel_celery.watch import families, telling
from otel_celery.watch.model import State, Subject
from otel_celery.watch.words import duration, plural, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.families import Key
    from otel_celery.watch.model import Beat, Queue, Task, Worker
    from otel_celery.watch.totals import Totals
    from otel_celery.watch.watched import Watched

Found = tuple[Subject, str]

FEWEST = 3
"""Events at least that make a rate or a ratio of a window that was not watched whole."""
SHORTEST = 60.0
"""Seconds that a rate is of at least: three failures in the first second are not three a second."""
GROWING = 60.0
"""Seconds of watching from which on a queue may be said to grow."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the conditions look at."""

    watched: Sequence[Watched]
    totals: Totals
    workers: Sequence[Worker]
    tasks: Sequence[Task]
    queues: Sequence[Queue]
    beats: Sequence[Beat]
    lengths: Mapping[str, float]
    """By how many messages a second each queue grows."""
    now: float
    """Seconds since the epoch."""

    def rate(self, key: Key, window: float) -> float:
        """Tell a rate a second over a window, of a minute at the least."""
        return self.totals.rise(key, window) / max(self.totals.seconds(window), SHORTEST)

    def pools(self) -> dict[str, list[Worker]]:
        """Group the workers that take tasks."""
        found: dict[str, list[Worker]] = {}
        for worker in self.workers:
            if worker.active is not None and worker.size and worker.state is not State.DRAINING:
                found.setdefault(worker.pool, []).append(worker)
        return found


CONDITIONS: dict[str, Callable[[Alert, Scene], Iterator[Found]]] = {}
"""The alerts that a watch can judge, by their names."""

UNSEEN = {
    "CeleryTargetsMissing": "a watch has endpoints, or says that it has none",
    "CeleryPoolWithoutWorkers": "each endpoint that does not answer is CeleryWorkerDown",
    "CeleryTooFewWorkers": "what you expect is in expectations.yml",
    "CeleryTaskNotSucceeded": "what you expect is in expectations.yml",
    "CelerySeriesDropped": "of Prometheus",
    "PrometheusRulesFailing": "of Prometheus",
    "RedisExporterDown": "of another exporter",
    "RedisDown": "of another exporter",
    "PostgresExporterDown": "of another exporter",
    "PostgresDown": "of another exporter",
    "CelerySuccessBudgetBurningFast": "an hour back",
    "CelerySuccessBudgetBurningSlowly": "six hours back",
    "CelerySuccessBudgetLeaking": "three days back",
}
"""The alerts that it cannot judge, each with the reason."""


def condition(judge: Callable[[Alert, Scene], Iterator[Found]]) -> Callable[[Alert, Scene], Iterator[Found]]:
    """Add a function as the condition of the alert of its name, such as ``celery_worker_down`` for CeleryWorkerDown."""
    CONDITIONS["".join(word.capitalize() for word in judge.__name__.split("_"))] = judge
    return judge


def _of(worker: Worker, detail: str = "") -> Subject:
    return Subject(worker=worker.name, pool=worker.pool, detail=detail, url=worker.url)


@condition
def celery_worker_down(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that are not ready, or do not answer."""
    for worker in scene.workers:
        if worker.state in {State.AWAY, State.FOREIGN, State.STARTING}:
            yield _of(worker), worker.why


@condition
def high_task_failure_rate(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that fail often on one worker."""
    for key in scene.totals.owners("failed"):
        rate = scene.rate(key, alert.window)
        if rate > alert.limits[0] and scene.totals.rise(key, alert.window) >= FEWEST:
            _, url, worker, task, queue = map(str, key)
            subject = Subject(worker=worker, task=task, queue=queue, url=url)
            yield subject, f"{rate:.2f} failures a second; the limit is {alert.limits[0]:g}"


@condition
def celery_node_name_twice(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers of one name at several endpoints."""
    urls: dict[str, list[Worker]] = {}
    for worker in scene.workers:
        if worker.state not in {State.AWAY, State.FOREIGN}:
            urls.setdefault(worker.name, []).append(worker)
    for name, same in urls.items():
        if len(same) > alert.limits[0]:
            subject = Subject(worker=name, pool=same[0].pool)
            yield subject, f"{len(same)} endpoints say that they are {name}: {', '.join(w.url for w in same)}"


@condition
def celery_worker_flapping(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that were started again and again."""
    for worker in scene.workers:
        starts = scene.totals.rise(("starts", worker.url), alert.window)
        if starts > alert.limits[0]:
            yield _of(worker), f"started anew {plural(starts, 'time')} within {duration(alert.window)}"


@condition
def celery_worker_stuck(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers whose event loop stands still."""
    for worker in scene.workers:
        if worker.state is State.STUCK:
            yield _of(worker), worker.why


@condition
def celery_worker_draining_too_long(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that were told to stop."""
    for worker in scene.workers:
        if worker.state is State.DRAINING:
            running = f"; {worker.oldest_task} runs for {duration(worker.oldest)}" if worker.oldest else ""
            yield _of(worker), f"it still waits for {plural(worker.active or 0, 'running task')}{running}"


@condition
def celery_broker_away(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find that not one worker has its broker."""
    alive = [w for w in scene.workers if w.active is not None and w.state is not State.DRAINING]
    connected = _connected(scene)
    if alive and not any(connected.get((worker.url, worker.name)) for worker in alive):
        count = "the only worker has" if len(alive) == 1 else f"none of {len(alive)} workers has"
        yield Subject(detail="broker"), f"{count} a connection to the broker: no task runs"


@condition
def celery_broker_disconnected(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers without their broker."""
    connected = _connected(scene)
    for worker in scene.workers:
        if connected.get((worker.url, worker.name), 1) == 0 and worker.state is not State.DRAINING:
            yield _of(worker), "it has no connection to its broker: it takes no tasks"


def _connected(scene: Scene) -> dict[tuple[str, str], float]:
    return {
        (each.endpoint.url, worker): value
        for each in scene.watched
        if not each.why
        for worker, value in each.values(families.CONNECTED).items()
    }


@condition
def celery_broker_connection_unstable(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that keep losing their broker."""
    for worker in scene.workers:
        times = scene.totals.rise(("reconnects", worker.url, worker.name), alert.window)
        if times > alert.limits[0]:
            yield _of(worker), f"it had to reconnect {plural(times, 'time')} within {duration(alert.window)}"


@condition
def celery_processes_lost(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers whose children are killed, or leave."""
    for worker in scene.workers:
        for reason in ("killed", "exited"):
            lost = scene.totals.rise(("exits", worker.url, worker.name, reason), alert.window)
            if lost > alert.limits[0]:
                figure = f"{plural(lost, 'pool process', 'pool processes')} {reason} within {duration(alert.window)}"
                yield _of(worker, reason), figure


@condition
def celery_task_failure_ratio_high(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks of which too many runs fail, of enough."""
    limit, floor = alert.limits[:2]
    for subject, failed, finished in _finished(scene, alert.window):
        is_enough = finished > floor * alert.window and failed >= FEWEST
        if is_enough and failed > limit * finished:
            yield subject, f"{share(failed / finished)} of {plural(finished, 'run')} fail; the limit is {share(limit)}"


@condition
def celery_task_failing(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that mostly fail, however rarely they run."""
    fewest, part = alert.limits[:2]
    for subject, failed, finished in _finished(scene, alert.window):
        if failed > fewest and failed > part * finished:
            yield subject, f"{failed:.0f} of {plural(finished, 'run')} failed"


def _finished(scene: Scene, window: float) -> Iterator[tuple[Subject, float, float]]:
    """Count the failures and the ends of each task within a window."""
    for task in scene.tasks:
        owner = (task.pool, task.name)
        failed = scene.totals.rise(("task ends", *owner, "failure"), window)
        if failed:
            succeeded = scene.totals.rise(("task ends", *owner, "success"), window)
            yield Subject(pool=task.pool, task=task.name), failed, failed + succeeded


@condition
def celery_poison_message(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that kill their processes, and come back."""
    for task in scene.tasks:
        died = scene.totals.rise(("exception", task.pool, task.name, "WorkerLostError"), alert.window)
        again = scene.totals.rise(("redelivered", task.pool, task.name), alert.window)
        if died > alert.limits[0] and again > alert.limits[1]:
            figure = f"{plural(died, 'process', 'processes')} died of it, and its messages came back {again:.0f} times"
            yield Subject(pool=task.pool, task=task.name), figure


@condition
def celery_tasks_revoked(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose tasks are not run."""
    for key in scene.totals.owners("revoked"):
        number = scene.totals.rise(key, alert.window)
        if number > alert.limits[0]:
            subject = Subject(pool=str(key[1]), detail=str(key[2]))
            yield subject, f"{plural(number, 'task')} revoked within {duration(alert.window)}: {key[2]}"


@condition
def celery_tasks_rejected(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose tasks are rejected."""
    rejected: dict[str, float] = {}
    for task in scene.tasks:
        number = scene.totals.rise(("task ends", task.pool, task.name, "rejected"), alert.window)
        rejected[task.pool] = rejected.get(task.pool, 0.0) + number
    for pool, number in rejected.items():
        if number > alert.limits[0]:
            yield Subject(pool=pool), f"{plural(number, 'task')} rejected within {duration(alert.window)}"


@condition
def celery_retry_storm(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that are retried more often than they end."""
    for task in scene.tasks:
        owner = (task.pool, task.name)
        retried = scene.totals.rise(("task ends", *owner, "retry"), alert.window)
        ended = sum(scene.totals.rise(("task ends", *owner, status), alert.window) for status in ("success", "failure"))
        rate = scene.rate(("task ends", *owner, "retry"), alert.window)
        if rate > alert.limits[0] and retried > ended and retried >= FEWEST:
            yield Subject(pool=task.pool, task=task.name), f"{rate:.2f} retries a second, and fewer ends"


@condition
def celery_task_running_too_long(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find runs that take longer than three times the usual; or than an hour, where none has succeeded."""
    never, times, least = alert.limits[:3]
    for each in scene.watched:
        for worker, task, age in [] if each.why else each.by(families.OLDEST, "task_name"):
            if age <= min(never, least):
                continue
            pool = each.node(worker).pool
            usual = _usual(scene, pool, task)
            limit = never if usual is None else max(times * usual, least)
            if age > limit:
                subject = Subject(worker=worker, pool=pool, task=task, url=each.endpoint.url)
                yield subject, f"it has been running for {duration(age)}; unusual is more than {duration(limit)}"


def _usual(scene: Scene, pool: str, task: str) -> float | None:
    """Tell the p99 or the mean of a task's successes since its workers started, whichever is more."""
    buckets: dict[float, float] = {}
    total = 0.0
    for each in scene.watched:
        for labels, value in each.page.unwanted(families.RUNTIME):
            if _is_task(each, labels, pool, task):
                bound = families.bound(labels)
                buckets[bound] = buckets.get(bound, 0.0) + value
        totals = each.page.unwanted(families.RUNTIME_SUM)
        total += sum(value for labels, value in totals if _is_task(each, labels, pool, task))
    p99 = quantile(0.99, buckets)
    return None if p99 is None else max(p99, total / buckets[float("inf")])


def _is_task(watched: Watched, labels: Mapping[str, str], pool: str, task: str) -> bool:
    return labels.get("task_name") == task and watched.node(labels.get("worker", "")).pool == pool


@condition
def celery_hard_time_limits(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find tasks that are killed for their hard time limit."""
    for task in scene.tasks:
        killed = scene.totals.rise(("timeouts", task.pool, task.name, "hard"), alert.window)
        if killed > alert.limits[0]:
            figure = f"{plural(killed, 'run')} killed for the hard time limit within {duration(alert.window)}"
            yield Subject(pool=task.pool, task=task.name), figure


@condition
def celery_messages_unknown(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find workers that get messages which they cannot run."""
    for worker in scene.workers:
        for reason in ("unknown_task", "undecodable", "invalid"):
            lost = scene.totals.rise(("unknown", worker.url, worker.name, reason), alert.window)
            if lost:
                yield _of(worker, reason), f"{plural(lost, 'message')} never became a task"


@condition
def celery_pool_saturated(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose slots have been busy."""
    for pool, members in scene.pools().items():
        slots = scene.totals.rise(("slots", pool), alert.window)
        busy = scene.totals.rise(("busy", pool), alert.window)
        now = sum(w.active or 0 for w in members) / sum(w.size or 0 for w in members)
        ratio = busy / slots if slots else now
        if ratio > alert.limits[0]:
            seconds = min(scene.totals.seconds(alert.window), alert.window)
            figure = f"{share(ratio)} of its slots were busy over {duration(seconds)}; the limit is"
            yield Subject(pool=pool), f"{figure} {share(alert.limits[0])}"


@condition
def celery_tasks_waiting_too_long(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools whose tasks wait."""
    for pool in scene.pools():
        wait = telling.pool_wait(scene.totals, pool, scene.tasks, alert.window)
        if wait is not None and wait > alert.limits[0]:
            figure = f"one task in twenty waits longer than {duration(wait)}; the limit is {duration(alert.limits[0])}"
            yield Subject(pool=pool), figure


@condition
def celery_pool_hung(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools all of whose slots are taken, where nothing starts or ends, and more waits."""
    for pool, members in scene.pools().items():
        is_full = all((w.active or 0) >= (w.size or 0) for w in members)
        if is_full and _is_still(scene, pool, alert.window, is_ended=True) and _is_waiting(scene, members):
            oldest = max(members, key=lambda worker: worker.oldest or 0)
            figure = f"all {plural(sum(w.size or 0 for w in members), 'slot')} taken, and nothing starts or ends"
            yield Subject(pool=pool), f"{figure}; {oldest.oldest_task} has run for {duration(oldest.oldest)}"


@condition
def celery_tasks_not_starting(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools with free slots, where tasks wait and none starts."""
    for pool, members in scene.pools().items():
        reserved = sum(w.reserved or 0 for w in members)
        is_full = all((w.active or 0) >= (w.size or 0) for w in members)
        if reserved and not is_full and _is_still(scene, pool, alert.window, is_ended=False):
            yield Subject(pool=pool), f"{plural(reserved, 'task waits', 'tasks wait')} in its workers, and none starts"


def _is_still(scene: Scene, pool: str, window: float, *, is_ended: bool) -> bool:
    """Tell whether a pool has started nothing in a window that was watched whole; nor ended anything, if asked."""
    if scene.totals.seconds(window) < window or scene.totals.rise(("started", pool), window):
        return False
    statuses = ("success", "failure", "retry", "unreported") if is_ended else ("unreported",)
    tasks = (task.name for task in scene.tasks if task.pool == pool)
    return not any(scene.totals.rise(("task ends", pool, task, s), window) for task in tasks for s in statuses)


def _is_waiting(scene: Scene, members: Sequence[Worker]) -> bool:
    queues = {queue for worker in members for queue in worker.queues}
    return any(w.reserved for w in members) or any(q.length for q in scene.queues if q.name in queues)


@condition
def celery_queue_not_consumed(_: Alert, scene: Scene) -> Iterator[Found]:
    """Find queues where messages wait, and nobody takes them."""
    pools = {
        queue: each.node(worker).pool
        for each in scene.watched
        for worker, queue, _ in each.by(families.CONSUMES, "queue")  # as its last page says, where it is away
    }
    for queue in scene.queues:
        if queue.length and not queue.consumers:
            figure = f"{plural(queue.length, 'message waits', 'messages wait')}, and no worker takes them"
            yield Subject(queue=queue.name, pool=pools.get(queue.name, "")), figure


@condition
def celery_queue_growing(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find long queues that grow."""
    slope, floor = alert.limits[:2]
    for queue in scene.queues:
        growth = scene.lengths.get(queue.name, 0.0)
        if growth > slope and (queue.length or 0) > floor:
            yield Subject(queue=queue.name), f"{queue.length} messages, and {growth:.1f} more each second"


@condition
def celery_oldest_message_too_old(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find queues with an old message."""
    for queue in scene.queues:
        if (queue.oldest or 0) > alert.limits[0]:
            figure = f"its oldest message is {duration(queue.oldest)} old; the limit is {duration(alert.limits[0])}"
            yield Subject(queue=queue.name), figure


@condition
def celery_queues_unseen(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find exporters of queues that have not heard of their broker."""
    for each in scene.watched:
        refreshed = next(each.page[families.REFRESHED], None)
        age = scene.now - (refreshed.value or 0.0) if refreshed else 0.0
        if age > alert.limits[0]:
            why = f": {each.why}" if each.why else ""
            subject = Subject(pool=each.endpoint.pool, detail=each.endpoint.address, url=each.endpoint.url)
            yield subject, f"the queues were last read {duration(age)} ago{why}"


@condition
def celery_publish_failures(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find messages that could not be published."""
    for key in scene.totals.owners("unpublished"):
        failed = scene.totals.rise(key, alert.window)
        if failed:
            figure = f"{plural(failed, 'message')} could not be published within {duration(alert.window)}"
            yield Subject(pool=str(key[1]), detail=str(key[2])), figure


@condition
def celery_beat_stopped(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find beats that do not look at their schedule."""
    for beat in scene.beats:
        if (beat.tick or 0) > alert.limits[0]:
            figure = f"beat last looked at its schedule {duration(beat.tick)} ago"
            yield Subject(pool=beat.pool, detail="beat", url=beat.url), figure


@condition
def celery_beat_entry_late(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find entries of beat's schedule that were sent late."""
    for key in sorted({key[:3] for key in scene.totals.owners("lag")}, key=str):
        latest = quantile(1, scene.totals.buckets(key, alert.window))
        if latest is not None and latest > alert.limits[0]:
            subject = Subject(task=str(key[2]), detail="beat", url=str(key[1]))
            yield subject, f"it was sent more than {duration(alert.limits[0])} after it was due"


@condition
def celery_scrape_failing(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find endpoints that come and go."""
    for worker in scene.workers:
        changes = scene.totals.rise(("changes", worker.url), alert.window)
        if changes > alert.limits[0] and not scene.totals.rise(("starts", worker.url), alert.window):
            yield _of(worker), f"it came and went {plural(changes, 'time')} within {duration(alert.window)}"


@condition
def celery_labels_folded(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools with more label values than they keep apart."""
    yield from _any_of_pool("folded", "counted as `other`", alert, scene)


@condition
def otel_celery_points_dropped(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find pools that do not show what tasks record."""
    for subject, figure in _any_of_pool("dropped", "of tasks' own metrics dropped", alert, scene):
        if subject.detail != "torn":
            yield subject, figure


def _any_of_pool(word: str, what: str, alert: Alert, scene: Scene) -> Iterator[Found]:
    for key in scene.totals.owners(word):
        number = scene.totals.rise(key, alert.window)
        if number:
            yield Subject(pool=str(key[1]), detail=str(key[2])), f"{plural(number, 'value')} {what}: {key[2]}"


@condition
def otel_celery_internal_errors(alert: Alert, scene: Scene) -> Iterator[Found]:
    """Find errors of our own."""
    for key in scene.totals.owners("errors"):
        number = scene.totals.rise(key, alert.window)
        if number:
            _, url, worker, where = map(str, key)
            subject = Subject(worker=worker, detail=where, url=url)
            yield subject, f"{plural(number, 'exception')} of otel-celery's own, kept from the worker"
