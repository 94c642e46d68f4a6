"""What a worker's tallies and levels are read as: a reading for each counter and gauge of the catalogue."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any

from otel_celery import catalogue
from otel_celery.lifecycle import Outcome
from otel_celery.record.showing import lasting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_celery.catalogue import Metric
    from otel_celery.observers import Reading, WorkerLevels
    from otel_celery.record.showing import Readings
    from otel_celery.record.tallies import Tallies
    from otel_celery.record.task import TaskTally

    Points = Iterator[tuple[float, Mapping[str, str]]]


def register(shown: Readings, tallies: Tallies, levels: WorkerLevels) -> Callable[[], None]:
    """Show every counter and gauge of a worker; return a function that takes them off."""
    others = {**_of_worker(tallies), **_of_levels(tallies, levels)}
    readings = {**_of_tasks(tallies), **lasting(others)}
    return shown.show(readings, tallies.errors, lambda: tallies.is_closed)


def _of_tasks(tallies: Tallies) -> dict[Metric, Reading]:
    def each(value: Callable[[TaskTally], int | float | None]) -> Reading:
        def read() -> Points:
            for task in tallies.tasks():
                if (number := value(task)) is not None:
                    yield number, task.attributes

        return read

    def split(label: str, counts: Callable[[TaskTally], Mapping[Any, int]]) -> Reading:
        def read() -> Points:
            for task in tallies.tasks():
                for value, number in list(counts(task).items()):
                    yield number, task.labelled(label, value)

        return read

    def ended(outcome: Outcome) -> Reading:
        return each(lambda task: task.ended_count(outcome))

    return {
        catalogue.TASKS: split("status", _statuses),
        catalogue.RECEIVED: each(lambda task: task.received_count),
        catalogue.STARTED: each(lambda task: task.started_count),
        catalogue.SUCCEEDED: ended(Outcome.SUCCESS),
        catalogue.FAILED: ended(Outcome.FAILURE),
        catalogue.RETRIED: ended(Outcome.RETRY),
        catalogue.REJECTED: ended(Outcome.REJECTED),
        catalogue.RETURNED: ended(Outcome.RETURNED),
        catalogue.REDELIVERED: each(lambda task: task.redelivered_count),
        catalogue.REVOKED: split("reason", lambda task: task.revocations),
        catalogue.FAILURES_BY_EXCEPTION: split("exception", lambda task: task.exceptions),
        catalogue.TIMEOUTS: split("limit", lambda task: task.timeouts),
        catalogue.LAST_SUCCESS: each(lambda task: task.last_success),
    }


def _statuses(task: TaskTally) -> dict[str, int]:
    """Return the ends by status, without RETURNED: it ends a request, not a task."""
    return {outcome: number for outcome, number in task.ends.items() if outcome is not Outcome.RETURNED}


def _of_worker(tallies: Tallies) -> dict[Metric, Reading]:
    def split(label: str, counts: Mapping[Any, int], attributes: Mapping[str, str]) -> Reading:
        return lambda: [(number, {**attributes, label: str.__str__(value)}) for value, number in counts.items()]

    worker = {"worker": tallies.worker}
    return {
        catalogue.MESSAGES_UNKNOWN: split("reason", tallies.unknown, worker),
        catalogue.PROCESS_EXITS: split("reason", tallies.exits, worker),
        catalogue.START: lambda: [(tallies.began, {})],
        catalogue.INTERNAL_ERRORS: split("where", tallies.errors.counts, {}),
        catalogue.RELAY_DROPPED: split("reason", tallies.losses, {}),
        catalogue.CLOCK_SKEW: lambda: [(sum(task.skew_count for task in tallies.tasks()), {})],
        catalogue.FOLDED: split("what", tallies.folded.counts, {}),
        catalogue.BROKER_RECONNECTS: lambda: [(tallies.reconnects, worker)],
    }


def _of_levels(tallies: Tallies, levels: WorkerLevels) -> dict[Metric, Reading]:
    worker = {"worker": tallies.worker}

    def one(name: str) -> Reading:
        ask = methodcaller(name)  # looked up at each call: a bound method would keep the worker alive

        def read() -> Points:
            if (number := ask(levels)) is not None:
                yield int(number) if isinstance(number, bool) else number, worker

        return read

    def oldest() -> Points:
        ages: dict[str, float] = {}
        for name, age in levels.oldest_active().items():
            label = tallies.labels.known_task_name(name)  # several names may be `other`
            ages[label] = max(age, ages.get(label, 0.0))
        return ((age, {**worker, "task_name": label}) for label, age in ages.items())

    def queues() -> Points:
        return ((1, {**worker, "queue": label}) for label in tallies.labels.queues(levels.queues()))

    def info() -> Points:
        yield 1, {**worker, **{key: tallies.labels.clean(text) for key, text in levels.info().items()}}

    return {
        catalogue.WORKER_UP: one("up"),
        catalogue.TASKS_ACTIVE: one("active"),
        catalogue.TASKS_RESERVED: one("reserved"),
        catalogue.TASKS_SCHEDULED: one("scheduled"),
        catalogue.POOL_SIZE: one("pool_size"),
        catalogue.DRAINING: one("draining"),
        catalogue.LAST_LOOP: one("last_loop"),
        catalogue.LOOP_STALL: one("loop_stall"),
        catalogue.BROKER_CONNECTED: one("broker_connected"),
        catalogue.OLDEST_ACTIVE: oldest,
        catalogue.QUEUE_INFO: queues,
        catalogue.WORKER_INFO: info,
    }
