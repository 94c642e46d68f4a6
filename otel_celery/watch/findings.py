"""What is wrong with a fleet at two moments, in sentences, with what to do: for ``otel-celery doctor``.

What the alerts judge is taken from the view. The rest needs no history: what stands in the counters since the workers
began, what the broker tells, and what a Prometheus scrapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_celery.watch import counted, standing
from otel_celery.watch.consumed import drained
from otel_celery.watch.finding import PROMETHEUS_AWAY, WARNING, Finding
from otel_celery.watch.model import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_celery.watch.finding import Broker
    from otel_celery.watch.model import Note, Problem, View
    from otel_celery.watch.watched import Watched


BURSTS = frozenset({"CeleryPoolSaturated"})
"""Alerts whose condition holds for a moment in any healthy fleet: they are told of once they fire."""


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


def all_of(
    watched: Sequence[Watched], views: Sequence[View], broker: Broker | None = None, unscraped: Iterable[Finding] = ()
) -> list[Finding]:
    """List what is wrong by two views of the same endpoints, the critical first."""
    own = [
        *standing.away(broker),
        *standing.unconsumed(views[-1], broker, drained(watched)),
        *standing.full(watched, views),
        *standing.twice(views[-1]),
        *counted.poison(watched),
        *counted.lost(watched),
        *counted.publishers(watched),
        *counted.clocks(watched, views[-1]),
        *unscraped,
    ]
    problems = (each for each in views[-1].problems if each.is_firing or each.alert not in BURSTS)
    told = [_of_problem(each) for each in problems if not (_is_replaced(each, own) or _is_over(each, broker))]
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
        problem.section,
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


def _is_over(problem: Problem, broker: Broker | None) -> bool:
    """Tell whether it is of a queue in which nothing waits any more, by the broker, which was asked last."""
    is_of_queue = problem.alert in REPLACED["QueueNotConsumed"]
    return is_of_queue and broker is not None and broker.lengths.get(problem.subject.queue) == 0


def _meet(one: Subject, other: Subject) -> bool:
    """Tell whether two subjects are about the same queue, task or pool; one that names none is about all."""
    for name in ("queue", "task", "pool"):
        first, second = getattr(one, name), getattr(other, name)
        if first and second:
            return bool(first == second)
    return True
