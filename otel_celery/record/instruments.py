"""Observable instruments for the tallies and a worker's levels, made from the catalogue."""

from __future__ import annotations

from enum import Enum
from operator import methodcaller
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import Observation

from otel_celery import catalogue
from otel_celery.forks import Home
from otel_celery.lifecycle import Outcome, Where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import CallbackOptions, Meter

    from otel_celery.catalogue import Metric
    from otel_celery.lifecycle import Reading, WorkerLevels
    from otel_celery.record.errors import Errors
    from otel_celery.record.tallies import Tallies, TaskTally

    Read = Callable[[], Iterable[Observation]]
    Callback = Callable[[CallbackOptions], Iterable[Observation]]


_readers: WeakKeyDictionary[Meter, dict[str, list[Callback]]] = WeakKeyDictionary()
"""The callbacks of each instrument, by its meter and name: the SDK ignores those of a second one of that name."""


def register(meter: Meter, tallies: Tallies, levels: WorkerLevels) -> Callable[[], None]:
    """Create every observable instrument of a worker on ``meter``; return a function that takes its callbacks off."""
    reads = {**_of_tasks(tallies), **_of_worker(tallies), **_of_levels(tallies, levels)}
    return observe(meter, reads, tallies.errors, lambda: tallies.is_closed)


def read_with(
    meter: Meter, readings: Mapping[Metric, Reading], errors: Errors, is_closed: Callable[[], bool]
) -> Callable[[], None]:
    """Create observable instruments of plain readings; return a function that takes their callbacks off again."""

    def observations(reading: Reading) -> Read:
        return lambda: (Observation(value, attributes) for value, attributes in reading())

    reads = {metric: observations(reading) for metric, reading in readings.items()}
    return observe(meter, reads, errors, is_closed)


def observe(
    meter: Meter, reads: Mapping[Metric, Read], errors: Errors, is_closed: Callable[[], bool]
) -> Callable[[], None]:
    """Create observable instruments on ``meter``, or add callbacks to those that an earlier owner has made.

    Returns a function that removes the callbacks again: an application's meter outlives the worker.
    """
    known, joined = _readers.setdefault(meter, {}), []
    for metric, read in reads.items():
        is_new, readers = metric.name not in known, known.setdefault(metric.name, [])
        callback = _guarded(read, errors, is_closed)
        readers.append(callback)
        joined.append((readers, callback))
        if is_new:
            is_counter = metric.kind is catalogue.Kind.COUNTER
            create: Callable[..., Any] = (
                meter.create_observable_counter if is_counter else meter.create_observable_gauge
            )
            create(metric.name, [_all_of(readers)], metric.unit, metric.description)

    def leave() -> None:
        while joined:
            readers, callback = joined.pop()
            readers.remove(callback)

    return leave


def _all_of(readers: list[Callback]) -> Callback:
    return lambda options: [observation for read in list(readers) for observation in read(options)]


def _guarded(
    read: Read, errors: Errors, is_closed: Callable[[], bool]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """Wrap a callback so that its failure costs its own metric, and never the scrape.

    A forked child inherits the counts, and an application's reader in it would export them a second time. So nothing
    is observed there, nor once the counts are closed.
    """
    home = Home()

    def callback(_: CallbackOptions) -> Iterable[Observation]:
        if is_closed() or not home.is_here:
            return []
        try:
            return list(read())
        except Exception as error:  # noqa: BLE001  reported, and counted in a metric
            errors.swallowed(Where.LEVELS, error)
            return []

    return callback


def _of_tasks(tallies: Tallies) -> dict[Metric, Read]:
    def each(value: Callable[[TaskTally], int | float | None]) -> Read:
        def read() -> Iterator[Observation]:
            for task in tallies.tasks():
                if (number := value(task)) is not None:
                    yield Observation(number, task.attributes)

        return read

    def split(label: str, counts: Callable[[TaskTally], Mapping[Any, int]]) -> Read:
        def read() -> Iterator[Observation]:
            for task in tallies.tasks():
                for value, number in list(counts(task).items()):
                    yield Observation(number, {**task.attributes, label: _text(value)})

        return read

    def ended(outcome: Outcome) -> Read:
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


def _text(value: str) -> str:
    return str(value.value) if isinstance(value, Enum) else value


def _statuses(task: TaskTally) -> dict[str, int]:
    """Return the ends by status, without RETURNED: it ends a request, not a task."""
    return {outcome: number for outcome, number in task.ends.items() if outcome is not Outcome.RETURNED}


def _of_worker(tallies: Tallies) -> dict[Metric, Read]:
    def split(label: str, counts: Mapping[Any, int], attributes: Mapping[str, str]) -> Read:
        return lambda: [Observation(number, {**attributes, label: _text(value)}) for value, number in counts.items()]

    worker = {"worker": tallies.worker}
    return {
        catalogue.MESSAGES_UNKNOWN: split("reason", tallies.unknown, worker),
        catalogue.PROCESS_EXITS: split("reason", tallies.exits, worker),
        catalogue.INTERNAL_ERRORS: split("where", tallies.errors.counts, {}),
        catalogue.RELAY_DROPPED: split("reason", tallies.losses, {}),
        catalogue.CLOCK_SKEW: lambda: [Observation(sum(task.skew_count for task in tallies.tasks()), {})],
        catalogue.FOLDED: split("what", tallies.folded.counts, {}),
        catalogue.BROKER_RECONNECTS: lambda: [Observation(tallies.reconnects, worker)],
    }


def _of_levels(tallies: Tallies, levels: WorkerLevels) -> dict[Metric, Read]:
    worker = {"worker": tallies.worker}

    def one(name: str) -> Read:
        ask = methodcaller(name)  # looked up at each call: a bound method would keep the worker alive

        def read() -> Iterator[Observation]:
            if (number := ask(levels)) is not None:
                yield Observation(int(number) if isinstance(number, bool) else number, worker)

        return read

    def oldest() -> Iterator[Observation]:
        ages: dict[str, float] = {}
        for name, age in levels.oldest_active().items():
            label = tallies.labels.known_task_name(name)  # several names may be `other`
            ages[label] = max(age, ages.get(label, 0.0))
        return (Observation(age, {**worker, "task_name": label}) for label, age in ages.items())

    def queues() -> Iterator[Observation]:
        return (Observation(1, {**worker, "queue": label}) for label in tallies.labels.queues(levels.queues()))

    def info() -> Iterator[Observation]:
        yield Observation(1, {**worker, **{key: tallies.labels.clean(text) for key, text in levels.info().items()}})

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
