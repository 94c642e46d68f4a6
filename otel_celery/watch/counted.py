"""What has been wrong since the workers began, by their counters: no history is needed for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from otel_celery.watch import families
from otel_celery.watch.alerts import CRITICAL
from otel_celery.watch.finding import WARNING, Finding, listed
from otel_celery.watch.model import Subject
from otel_celery.watch.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_celery.watch.model import View
    from otel_celery.watch.watched import Watched

OFTEN = 3
"""Processes that died, from which on they are told of."""
AHEAD = 5.0
"""Seconds by which a clock may differ."""


def poison(watched: Iterable[Watched]) -> Iterator[Finding]:
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
                "CeleryPoisonMessage",
            )


def lost(watched: Iterable[Watched]) -> Iterator[Finding]:
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
                    "CeleryMessagesUnknown",
                )


def publishers(watched: Iterable[Watched]) -> Iterator[Finding]:
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
            f"{plural(sum(found.values()), 'message')} of {listed(names)} came without the time of publishing: the "
            "publisher does not load otel-celery, so that nobody knows how long its messages wait",
            "Call instrument(app) in the app's module, which publishers import too.",
        )


def clocks(watched: Iterable[Watched], view: View) -> Iterator[Finding]:
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
