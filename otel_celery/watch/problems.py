"""Keep the problems: since when each has held, and which of them follow from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.watch.alerts import CRITICAL, DOWN, NOT_OURS
from otel_celery.watch.conditions.table import CONDITIONS
from otel_celery.watch.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_celery.watch.alerts import Alert
    from otel_celery.watch.model import Subject
    from otel_celery.watch.scene import Scene

PATIENT = frozenset({"CeleryWorkerDrainingTooLong"})
"""What is no trouble before its alert fires: each deploy drains its workers."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Of one subject, the first alert hides the others: what a watch needs of alertmanager.yml's inhibit rules."""

    by: str
    hidden: frozenset[str]
    """Empty for every other alert."""
    equal: tuple[str, ...]
    """What of their subjects must be alike."""


HIDES = (
    *(Rule(away, frozenset(), ("url", "worker")) for away in (DOWN, NOT_OURS)),
    *(Rule(away, frozenset({"CeleryQueueNotConsumed"}), ("pool",)) for away in (DOWN, NOT_OURS)),
    Rule(
        "CeleryBrokerAway",
        frozenset(
            {
                *("CeleryBrokerDisconnected", "CeleryBrokerConnectionUnstable", "CeleryPublishFailures"),
                *("CeleryQueueNotConsumed", "CeleryQueueGrowing", "CeleryQueuesUnseen"),
            }
        ),
        (),
    ),
    Rule("CeleryQueueNotConsumed", frozenset({"CeleryQueueGrowing", "CeleryOldestMessageTooOld"}), ("queue",)),
    Rule("CeleryPoolHung", frozenset({"CeleryPoolSaturated", "CeleryTasksWaitingTooLong"}), ("pool",)),
    Rule("CeleryPoolHung", frozenset({"CeleryTaskRunningTooLong"}), ("pool",)),
    Rule("CeleryPoisonMessage", frozenset({"CeleryTaskFailing", "CeleryTaskFailureRatioHigh"}), ("pool", "task")),
    Rule("CeleryPoisonMessage", frozenset({"HighTaskFailureRate"}), ("task",)),
    Rule("CeleryPoisonMessage", frozenset({"CeleryProcessesLost"}), ("pool",)),
    Rule("CeleryTaskFailureRatioHigh", frozenset({"CeleryTaskFailing"}), ("pool", "task")),
)


class Problems:
    """Judges what was watched, look after look."""

    def __init__(self, alerts: Mapping[str, Alert]) -> None:
        """Judge by these alerts."""
        self._alerts = alerts
        self._since: dict[tuple[str, Subject], float] = {}

    def judge(self, scene: Scene, at: float) -> list[Problem]:
        """List what is wrong at a moment of the monotonic clock: critical and firing first, then the longest."""
        found = {
            (name, subject): figure
            for name, condition in CONDITIONS.items()
            if name in self._alerts
            for subject, figure in condition(self._alerts[name], scene)
        }
        self._since = {key: self._since.get(key, at) for key in found}
        problems = [self._problem(name, subject, figure, at) for (name, subject), figure in found.items()]
        listed = [problem for problem in problems if problem.is_firing or problem.alert not in PATIENT]
        return sorted(_unhidden(listed), key=_urgency)

    def _problem(self, name: str, subject: Subject, figure: str, at: float) -> Problem:
        alert = self._alerts[name]
        return Problem(
            alert=name,
            severity=alert.severity,
            subject=subject,
            figure=figure,
            since=at - self._since[name, subject],
            after=alert.after,
            look=alert.look,
            command=filled(alert.command, subject),
            do=alert.do,
            section=alert.section,
        )


def filled(command: str, subject: Subject) -> str:
    """Put the subject into a runbook's command, where the runbook has its examples."""
    if subject.worker and subject.worker.replace("@", "").replace("-", "").replace(".", "").replace("_", "").isalnum():
        command = command.replace("trading@localhost", subject.worker)
    if subject.task and subject.task.replace(".", "").replace("_", "").isalnum():
        command = command.replace("orders.place", subject.task)
    return command


def _unhidden(problems: list[Problem]) -> Iterator[Problem]:
    """Leave out what follows from another."""
    hiding = {(rule, _part(rule, problem)) for rule in HIDES for problem in problems if problem.alert == rule.by}
    for problem in problems:
        rules = (
            rule for rule in HIDES if problem.alert in rule.hidden or not (rule.hidden or problem.alert == rule.by)
        )
        if not any((rule, _part(rule, problem)) in hiding for rule in rules):
            yield problem


def _part(rule: Rule, problem: Problem) -> tuple[str, ...]:
    return tuple(getattr(problem.subject, name) for name in rule.equal)


def _urgency(problem: Problem) -> tuple[bool, bool, float, str]:
    return (problem.severity != CRITICAL, not problem.is_firing, -problem.since, str(problem.subject))
