"""What is wrong with a fleet at two moments, in sentences, with what to do: for ``otel-celery doctor``.

What the alerts judge is taken from the view. The rest needs no history: what stands in the counters since the workers
began, what the broker tells, and what a Prometheus scrapes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_celery.watch import families
from otel_celery.watch.alerts import CRITICAL
from otel_celery.watch.model import State, Subject
from otel_celery.watch.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from otel_celery.watch.model import Note, Problem, View, Worker
    from otel_celery.watch.watched import Watched

WARNING = "warning"
PROMETHEUS_AWAY = "PrometheusAway"
RUNBOOK = "devops/monitoring/RUNBOOK.md"

BURSTS = frozenset({"CeleryPoolSaturated"})
"""Alerts whose condition holds for a moment in any healthy fleet: they are told of once they fire."""

LONG = 10.0
"""Seconds for which the oldest task of a full worker has to run, unless others wait: a burst is no trouble."""
OFTEN = 3
"""Processes that died, from which on they are told of."""
AHEAD = 5.0
"""Seconds by which a clock may differ."""
MOST = 5
"""Names in one sentence at most."""

REPLACED: Mapping[str, frozenset[str]] = {
    "WorkerFull": frozenset({"CeleryPoolSaturated", "CeleryPoolHung", "CeleryTaskRunningTooLong"}),
    "QueueNotConsumed": frozenset({"CeleryQueueNotConsumed", "CeleryQueueGrowing", "CeleryOldestMessageTooOld"}),
    "BrokerAway": frozenset(
        {
            *("CeleryBrokerAway", "CeleryBrokerDisconnected", "CeleryBrokerConnectionUnstable"),
            *("CeleryQueuesUnseen", "CeleryPublishFailures"),
        }
    ),
    "PoisonMessage": frozenset(
        {"CeleryPoisonMessage", "CeleryProcessesLost", "CeleryTaskFailing", "CeleryTaskFailureRatioHigh"}
    ),
    "MessagesUnknown": frozenset({"CeleryMessagesUnknown"}),
    "NodeNameTwice": frozenset({"CeleryNodeNameTwice"}),
}
"""Which alerts say less than a finding here, of the same pool, task or queue."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    name: str
    """The alert's name, or a name of the doctor's own."""
    severity: str
    """``critical`` or ``warning``."""
    subject: Subject
    sentence: str
    do: str
    link: str = ""

    @property
    def is_critical(self) -> bool:
        """Tell whether tasks are lost, or do not run."""
        return self.severity == CRITICAL


@dataclass(frozen=True, slots=True)
class Broker:
    """What the broker told when it was asked."""

    place: str
    """Its URL, without a password."""
    why: str = ""
    """Why it did not answer; empty if it did."""
    lengths: Mapping[str, int] = field(default_factory=dict)
    """How many messages wait, by queue."""


def all_of(
    watched: Sequence[Watched], views: Sequence[View], broker: Broker | None = None, unscraped: Iterable[Finding] = ()
) -> list[Finding]:
    """List what is wrong by two views of the same endpoints, the critical first."""
    own = [
        *_broker(broker),
        *_queues(views[-1], broker),
        *_full(watched, views),
        *_twice(views[-1]),
        *_poison(watched),
        *_lost(watched),
        *_publishers(watched),
        *_clocks(watched, views[-1]),
        *unscraped,
    ]
    problems = (each for each in views[-1].problems if each.is_firing or each.alert not in BURSTS)
    told = [_of_problem(problem) for problem in problems if not _is_replaced(problem, own)]
    notes = (_of_note(note) for note in views[-1].notes if not _is_told(note, own))
    return sorted((*told, *own, *notes), key=lambda finding: not finding.is_critical)


def queues_to_ask(watched: Iterable[Watched], views: Sequence[View]) -> set[str]:
    """Name the queues that workers consume, or that something here publishes to."""
    published = {
        labels.get("queue", "") for each in watched for labels, _ in each.page.unwanted("celery_task_published_total")
    }
    return (published | {queue for worker in views[-1].workers for queue in worker.queues}) - {"", "other"}


def _of_problem(problem: Problem) -> Finding:
    command = f" `{problem.command}`." if problem.command else ""
    look = f"Look: {problem.look}{command}"
    return Finding(
        problem.alert,
        problem.severity,
        problem.subject,
        f"{problem.subject}: {problem.figure}",
        f"{look} Then: {_first(problem.do)}" if problem.do else look,
        problem.link,
    )


def _of_note(note: Note) -> Finding:
    return Finding(note.name, WARNING, Subject(detail=note.place), note.sentence, note.do)


def _is_told(note: Note, own: Iterable[Finding]) -> bool:
    """Tell whether it is of a Prometheus that is away, which the comparison has found as well."""
    return any(finding.name == PROMETHEUS_AWAY and finding.subject.detail == note.place for finding in own)


def _first(text: str) -> str:
    """Give the first sentence of a text."""
    return f"{text.partition('. ')[0].rstrip('.:')}."


def _is_replaced(problem: Problem, own: Iterable[Finding]) -> bool:
    return any(
        problem.alert in REPLACED.get(finding.name, ()) and _meet(problem.subject, finding.subject) for finding in own
    )


def _meet(one: Subject, other: Subject) -> bool:
    """Tell whether two subjects are about the same queue, task or pool; one that names none is about all."""
    for name in ("queue", "task", "pool"):
        first, second = getattr(one, name), getattr(other, name)
        if first and second:
            return bool(first == second)
    return True


def _broker(broker: Broker | None) -> Iterator[Finding]:
    if broker is not None and broker.why:
        yield Finding(
            "BrokerAway",
            CRITICAL,
            Subject(detail="broker"),
            f"the broker {broker.place} does not answer: {broker.why}",
            "See that it runs, and that this host may reach it; workers connect again by themselves.",
            f"{RUNBOOK}#celerybrokeraway",
        )


def _queues(view: View, broker: Broker | None) -> Iterator[Finding]:
    """Find queues with messages that no worker here consumes, by the broker's word or the exporter's."""
    shown = {queue.name: queue for queue in view.queues}
    lengths = {name: queue.length for name, queue in shown.items() if queue.length}
    lengths |= {name: length for name, length in (broker.lengths if broker else {}).items() if length}
    consumed = {queue for worker in view.workers if worker.state is not State.AWAY for queue in worker.queues}
    for name, length in sorted(lengths.items()):
        queue = shown.get(name)
        if name in consumed or (queue is not None and queue.consumers):
            continue
        age = f", the oldest for {duration(queue.oldest)}" if queue is not None and queue.oldest else ""
        yield Finding(
            "QueueNotConsumed",
            CRITICAL,
            Subject(queue=name),
            f"no worker that answers here consumes the queue {name}, which holds {plural(length, 'message')}{age}",
            f"Start a worker with -Q {name}, or correct the route (task_routes) that leads there.",
            f"{RUNBOOK}#celeryqueuenotconsumed",
        )


def _full(watched: Iterable[Watched], views: Sequence[View]) -> Iterator[Finding]:
    """Find workers whose slots were all busy at each look, and which have a long task, or as many more waiting."""
    pages = {each.endpoint.url: each for each in watched}
    before = {(worker.url, worker.name) for worker in views[0].workers if _is_full(worker)}
    for worker in views[-1].workers:
        is_for_long = (worker.oldest or 0.0) >= LONG or (worker.reserved or 0) >= (worker.size or 0)
        if not (_is_full(worker) and (worker.url, worker.name) in before and is_for_long):
            continue
        oldest = pages[worker.url].by(families.OLDEST, "task_name")
        tasks = _listed(sorted({task for name, task, _ in oldest if name == worker.name}))
        yield Finding(
            "WorkerFull",
            WARNING,
            Subject(worker=worker.name, pool=worker.pool, url=worker.url),
            f"{worker.name} is full ({worker.active} of {worker.size}) with tasks of {tasks}{_waiting(worker)}",
            "Give the pool more slots or workers, or slow tasks a pool of their own; a time limit ends what hangs.",
            f"{RUNBOOK}#celerypoolsaturated",
        )


def _is_full(worker: Worker) -> bool:
    return bool(worker.size) and (worker.active or 0) >= (worker.size or 0)


def _waiting(worker: Worker) -> str:
    oldest = "" if worker.oldest is None else f", the oldest for {duration(worker.oldest)}"
    more = plural(worker.reserved or 0, "more task waits", "more tasks wait")
    return f"{oldest}, and {more} in it" if worker.reserved else oldest


def _twice(view: View) -> Iterator[Finding]:
    """Find workers of one name, whose commands and replies Celery cannot tell apart."""
    alive = [worker for worker in view.workers if worker.state not in {State.AWAY, State.FOREIGN}]
    for name, number in Counter(worker.name for worker in alive).items():
        if number > 1:
            same = [worker for worker in alive if worker.name == name]
            yield Finding(
                "NodeNameTwice",
                WARNING,
                Subject(worker=name, pool=same[0].pool),
                f"{number} workers have one name, {name}: those at {_listed(sorted(each.url for each in same))}",
                "Give each a name of its own: -n trading1@%h.",
                f"{RUNBOOK}#celerynodenametwice",
            )


def _poison(watched: Iterable[Watched]) -> Iterator[Finding]:
    """Find tasks that kill their processes and come back, since the workers began."""
    watched = list(watched)
    died = _counted(watched, families.EXCEPTIONS, exception="WorkerLostError")
    again = _counted(watched, families.REDELIVERED)
    for (pool, task), number in died.items():
        if number >= OFTEN and again[pool, task] >= OFTEN:
            yield Finding(
                "PoisonMessage",
                CRITICAL,
                Subject(pool=pool, task=task),
                f"{task} kills its process: {plural(number, 'process', 'processes')} of {pool} died of it, and its "
                f"messages came back {again[pool, task]:.0f} times",
                "Revoke it by the id in the log (celery -A proj control revoke ID), or take it out of the queue.",
                f"{RUNBOOK}#celerypoisonmessage",
            )


def _lost(watched: Iterable[Watched]) -> Iterator[Finding]:
    """Find messages that never became a task, since the workers began."""
    for each in watched:
        counts = Counter[tuple[str, str]]()
        for labels, value in each.page.unwanted("celery_messages_unknown_total"):
            counts[labels.get("worker", ""), labels.get("reason", "")] += int(value)
        for (worker, reason), number in counts.items():
            if number:
                yield Finding(
                    "MessagesUnknown",
                    WARNING,
                    Subject(worker=worker, pool=each.node(worker).pool, detail=reason, url=each.endpoint.url),
                    f"{plural(number, 'message')} that {worker} received never became a task ({reason})",
                    "Bring publisher and worker to one version of the app; the worker's log names the task.",
                    f"{RUNBOOK}#celerymessagesunknown",
                )


def _publishers(watched: Iterable[Watched]) -> Iterator[Finding]:
    """Find tasks whose messages do not say when they were published, since the workers began."""
    watched = list(watched)
    started, again = _counted(watched, "celery_task_started_total"), _counted(watched, families.REDELIVERED)
    timed = _counted(watched, "celery_task_queue_wait_seconds_count")
    bare = {owner: started[owner] - again[owner] - timed[owner] for owner in started}
    found = {owner: number for owner, number in bare.items() if number > 0}
    if found:
        names = sorted({task for _, task in found})
        yield Finding(
            "PublisherWithoutLibrary",
            WARNING,
            Subject(detail="publishers"),
            f"{plural(sum(found.values()), 'message')} of {_listed(names)} came without the time of publishing: the "
            "publisher does not load otel-celery, so that nobody knows how long its messages wait",
            "Call instrument(app) in the app's module, which publishers import too (docs/publishers.md).",
            "docs/publishers.md",
        )


def _clocks(watched: Iterable[Watched], view: View) -> Iterator[Finding]:
    """Find clocks that differ: publishers' from their workers', and workers' from this host's."""
    do = "Set the clocks of all hosts by NTP (chrony, systemd-timesyncd)."
    for each in watched:
        skewed = sum(value for _, value in each.page.unwanted("otel_celery_clock_skew_total"))
        if skewed:
            node = each.nodes[0] if each.nodes else each.node("")
            yield Finding(
                "ClockSkew",
                WARNING,
                Subject(worker=node.worker, pool=node.pool, url=each.endpoint.url),
                f"{plural(skewed, 'message')} that {node.worker or each.endpoint.address} received came from the "
                "future: a publisher's clock is ahead of the worker's",
                do,
            )
    for worker in view.workers:
        ahead = (worker.started or 0.0) - view.at
        if ahead > AHEAD:
            yield Finding(
                "ClockSkew",
                WARNING,
                Subject(worker=worker.name, pool=worker.pool, url=worker.url),
                f"{worker.name} says that it began {duration(ahead)} from now: its clock is ahead of this host's",
                do,
            )


def _counted(watched: Iterable[Watched], name: str, **wanted: str) -> Counter[tuple[str, str]]:
    """Add up a counter's values since the workers began, by pool and task."""
    found = Counter[tuple[str, str]]()
    for each in watched:
        for labels, value in each.page.unwanted(name):
            if wanted.items() <= labels.items():
                found[each.node(labels.get("worker", "")).pool, labels.get("task_name", "")] += int(value)
    return found


def _listed(names: Collection[str]) -> str:
    shown = [*names][:MOST]
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{', '.join(shown)}{more}" if names else "tasks"
