"""The catalogue of metrics: name, kind, unit, labels and meaning of each, in one place.

Instruments, views, the reference table and the checks are all made from this list.

Names are OpenTelemetry's; a Prometheus exporter turns ``celery.task.duration`` with unit ``s`` into
``celery_task_duration_seconds`` and ``celery.tasks`` into ``celery_tasks_total``. Units follow UCUM
(https://ucum.org/ucum); a gauge never has the unit ``1``, which exporters treat in different ways.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

SCOPE = "otel_celery"
"""The name of the instrumentation scope of every instrument."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Default upper bounds of the histograms, in seconds. They are floats: an int would be exported as ``le="1"``."""

WORKER = ("worker",)
"""Labels of a metric of the worker as a whole."""
TASK = ("worker", "task_name", "queue")
"""Labels of a metric of a task."""
ENTRY = ("task_name",)
"""Labels of a metric of an entry of beat's schedule: the name of its task, since entries come and go."""


class Kind(str, Enum):
    """The kind of a metric's instrument."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One metric: its OpenTelemetry name, kind, unit, attributes and meaning."""

    name: str
    kind: Kind
    unit: str
    attributes: tuple[str, ...]
    description: str
    documented: bool = False
    """Whether the operators' guide promises this metric, so that its name and labels never change."""


def _documented(name: str, kind: Kind, unit: str, attributes: tuple[str, ...], description: str) -> Metric:
    return Metric(name, kind, unit, attributes, description, documented=True)


WORKER_UP = _documented(
    "celery.worker.up", Kind.GAUGE, "{worker}", WORKER, "1 from ready until the pool has drained, else 0."
)
TASKS_ACTIVE = _documented("celery.worker.tasks.active", Kind.GAUGE, "{task}", WORKER, "Tasks being executed now.")
TASKS = _documented(
    "celery.tasks",
    Kind.COUNTER,
    "{task}",
    (*TASK, "status"),
    "Tasks that ended, once each: success, failure, retry, rejected, ignored, revoked, unreported.",
)
RECEIVED = _documented(
    "celery.task.received", Kind.COUNTER, "{task}", TASK, "Tasks that the worker received, expired ones included."
)
STARTED = _documented("celery.task.started", Kind.COUNTER, "{task}", TASK, "Requests accepted by the pool.")
SUCCEEDED = _documented("celery.task.succeeded", Kind.COUNTER, "{task}", TASK, "Tasks that succeeded.")
FAILED = _documented(
    "celery.task.failed", Kind.COUNTER, "{task}", TASK, "Tasks that raised, timed out hard, or lost their process."
)
RETRIED = _documented("celery.task.retried", Kind.COUNTER, "{task}", TASK, "Tasks that asked to be retried.")
REJECTED = _documented(
    "celery.task.rejected", Kind.COUNTER, "{task}", TASK, "Tasks that raised Reject, or that Celery refused to run."
)
DURATION = _documented(
    "celery.task.duration",
    Kind.HISTOGRAM,
    "s",
    TASK,
    "Seconds from acceptance by the pool to the end as the worker saw it, every outcome.",
)
RUNTIME = _documented(
    "celery.task.runtime",
    Kind.HISTOGRAM,
    "s",
    TASK,
    "Seconds that the task's body took, measured by Celery in the process that ran it; successes only.",
)

RETURNED = Metric(
    "celery.task.returned",
    Kind.COUNTER,
    "{task}",
    TASK,
    "Requests returned to the broker un-run, on a lost connection or a shutdown; their messages are delivered again.",
)
REDELIVERED = Metric(
    "celery.task.redelivered",
    Kind.COUNTER,
    "{task}",
    TASK,
    "Requests whose message is marked as redelivered; a subset of received.",
)
REVOKED = Metric(
    "celery.task.revoked",
    Kind.COUNTER,
    "{task}",
    (*TASK, "reason"),
    "Tasks revoked, by reason: revoked, expired, terminated.",
)
FAILURES_BY_EXCEPTION = Metric(
    "celery.task.failures.by_exception",
    Kind.COUNTER,
    "{task}",
    (*TASK, "exception"),
    "Tasks that failed, by the class of the exception.",
)
TIMEOUTS = Metric(
    "celery.task.timeouts", Kind.COUNTER, "{task}", (*TASK, "limit"), "Time limits reached, by limit: soft, hard."
)
QUEUE_WAIT = Metric(
    "celery.task.queue.wait",
    Kind.HISTOGRAM,
    "s",
    TASK,
    "Seconds from publishing, or a later ETA, to accepted by the pool; the publisher needs otel-celery as well.",
)
PREFETCH_WAIT = Metric(
    "celery.task.prefetch.wait",
    Kind.HISTOGRAM,
    "s",
    TASK,
    "Seconds from received, or the ETA if that is later, to accepted by the pool.",
)
LAST_SUCCESS = Metric(
    "celery.task.last_success.timestamp",
    Kind.GAUGE,
    "s",
    TASK,
    "When the task last succeeded, in seconds since the epoch.",
)
OLDEST_ACTIVE = Metric(
    "celery.worker.oldest_active_task",
    Kind.GAUGE,
    "s",
    ("worker", "task_name"),
    "Age in seconds of the oldest running task of that name.",
)
TASKS_RESERVED = Metric(
    "celery.worker.tasks.reserved", Kind.GAUGE, "{task}", WORKER, "Requests received that wait for a free slot."
)
TASKS_SCHEDULED = Metric(
    "celery.worker.tasks.scheduled", Kind.GAUGE, "{task}", WORKER, "Requests held for an ETA or a rate limit."
)
POOL_SIZE = Metric(
    "celery.worker.pool.size", Kind.GAUGE, "{slot}", WORKER, "Slots the pool has now; utilisation is active / size."
)
DRAINING = Metric(
    "celery.worker.draining", Kind.GAUGE, "{worker}", WORKER, "1 from the moment the consumer stops consuming."
)
LAST_LOOP = Metric(
    "celery.worker.last_loop.timestamp",
    Kind.GAUGE,
    "s",
    WORKER,
    "When the event loop last turned, or waited for a free slot, in seconds since the epoch; not on the solo pool.",
)
LOOP_STALL = Metric(
    "celery.worker.loop.stall",
    Kind.GAUGE,
    "s",
    WORKER,
    "Seconds for which the event loop has stood still though a slot was free; not on the solo pool.",
)
PROCESS_EXITS = Metric(
    "celery.worker.process.exits",
    Kind.COUNTER,
    "{process}",
    ("worker", "reason"),
    "Pool children that ended, by reason: recycled, killed, exited, timed_out.",
)
BROKER_CONNECTED = Metric(
    "celery.worker.broker.connected",
    Kind.GAUGE,
    "{connection}",
    WORKER,
    "1 while the consumer has its broker connection, else 0.",
)
BROKER_RECONNECTS = Metric(
    "celery.worker.broker.reconnects",
    Kind.COUNTER,
    "{connection}",
    WORKER,
    "Times that the consumer's lost broker connection came back.",
)
QUEUE_INFO = Metric(
    "celery.worker.queue.info", Kind.GAUGE, "{queue}", ("worker", "queue"), "1 for each queue this worker consumes."
)
WORKER_INFO = Metric(
    "celery.worker.info",
    Kind.GAUGE,
    "{worker}",
    ("worker", "pool_kind", "concurrency", "celery_version", "otel_celery_version"),
    "1, with the worker's properties in its labels.",
)
MESSAGES_UNKNOWN = Metric(
    "celery.messages.unknown",
    Kind.COUNTER,
    "{message}",
    ("worker", "reason"),
    "Messages that never became a task, by reason: unknown_task, undecodable, invalid.",
)
BEAT_LAST_TICK = Metric(
    "celery.beat.last_tick.timestamp",
    Kind.GAUGE,
    "s",
    (),
    "When beat last ticked, or tried to reach a broker that is away, in seconds since the epoch.",
)
BEAT_ENTRIES = Metric(
    "celery.beat.entries", Kind.GAUGE, "{entry}", (), "Entries of the schedule, as the scheduler has read it."
)
BEAT_SENT = Metric("celery.beat.tasks.sent", Kind.COUNTER, "{task}", ENTRY, "Tasks of entries that beat sent.")
BEAT_FAILURES = Metric(
    "celery.beat.send.failures",
    Kind.COUNTER,
    "{attempt}",
    ENTRY,
    "Attempts of beat to send an entry's task that failed, those to reach the broker for it included.",
)
BEAT_LAG = Metric(
    "celery.beat.lag", Kind.HISTOGRAM, "s", ENTRY, "Seconds from when an entry was due to when beat had sent its task."
)
QUEUE = ("queue",)
"""Labels of a metric of a queue, whoever consumes it."""

QUEUE_LENGTH = Metric(
    "celery.queue.length",
    Kind.GAUGE,
    "{message}",
    QUEUE,
    "Messages waiting in the queue, of all priorities; 0 for an empty queue, absent for one that does not exist.",
)
QUEUE_CONSUMERS = Metric(
    "celery.queue.consumers", Kind.GAUGE, "{consumer}", QUEUE, "Consumers of the queue; not on Redis."
)
QUEUE_UNACKED = Metric(
    "celery.queue.unacked",
    Kind.GAUGE,
    "{message}",
    QUEUE,
    "Messages of the queue that were delivered and not acknowledged, where the broker can tell.",
)
QUEUE_OLDEST = Metric(
    "celery.queue.oldest_message.age",
    Kind.GAUGE,
    "s",
    QUEUE,
    "Seconds since the oldest waiting message was published, where that can be told.",
)
QUEUE_REFRESH_FAILURES = Metric(
    "otel_celery.queue.refresh.failures",
    Kind.COUNTER,
    "{failure}",
    (),
    "Questions to the broker that failed, one for each queue and refresh.",
)
QUEUE_LAST_REFRESH = Metric(
    "otel_celery.queue.last_refresh.timestamp",
    Kind.GAUGE,
    "s",
    (),
    "When the broker last told of the queues, in seconds since the epoch.",
)
INTERNAL_ERRORS = Metric(
    "otel_celery.internal_errors",
    Kind.COUNTER,
    "{error}",
    ("where",),
    "Exceptions of otel-celery's own that were kept from the worker.",
)
RELAY_DROPPED = Metric(
    "otel_celery.relay.dropped",
    Kind.COUNTER,
    "{point}",
    ("reason",),
    "Dropped data points that tasks recorded, by reason: torn, malformed, limit, mismatch, unsupported, value, name.",
)
START = Metric(
    "otel_celery.start.timestamp",
    Kind.GAUGE,
    "s",
    (),
    "When this process began to count, in seconds since the epoch; a publisher does at its first message.",
)
CLOCK_SKEW = Metric(
    "otel_celery.clock_skew",
    Kind.COUNTER,
    "{message}",
    (),
    "Messages whose publisher's clock was ahead of the worker's, so that their wait counts as zero.",
)
FOLDED = Metric(
    "otel_celery.folded",
    Kind.COUNTER,
    "{value}",
    ("what",),
    "Label values folded into `other`, by kind: task_name, exception, queue.",
)
PUBLISHED = Metric(
    "celery.task.published",
    Kind.COUNTER,
    "{message}",
    TASK,
    "Messages published, in the publisher's process; `worker` only where a worker publishes.",
)
PUBLISH_FAILURES = Metric(
    "celery.task.publish.failures",
    Kind.COUNTER,
    "{message}",
    (*TASK, "exception"),
    "Messages that could not be published, by the class of the exception; `worker` as above.",
)
PUBLISH_DURATION = Metric(
    "celery.task.publish.duration",
    Kind.HISTOGRAM,
    "s",
    TASK,
    "Seconds that publishing a message took, kombu's own retries and failures included; `worker` as above.",
)

METRICS = (
    WORKER_UP,
    TASKS_ACTIVE,
    TASKS,
    RECEIVED,
    STARTED,
    SUCCEEDED,
    FAILED,
    RETRIED,
    REJECTED,
    DURATION,
    RUNTIME,
    RETURNED,
    REDELIVERED,
    REVOKED,
    FAILURES_BY_EXCEPTION,
    TIMEOUTS,
    QUEUE_WAIT,
    PREFETCH_WAIT,
    LAST_SUCCESS,
    OLDEST_ACTIVE,
    TASKS_RESERVED,
    TASKS_SCHEDULED,
    POOL_SIZE,
    DRAINING,
    LAST_LOOP,
    LOOP_STALL,
    PROCESS_EXITS,
    BROKER_CONNECTED,
    BROKER_RECONNECTS,
    QUEUE_INFO,
    WORKER_INFO,
    MESSAGES_UNKNOWN,
    BEAT_LAST_TICK,
    BEAT_ENTRIES,
    BEAT_SENT,
    BEAT_FAILURES,
    BEAT_LAG,
    QUEUE_LENGTH,
    QUEUE_CONSUMERS,
    QUEUE_UNACKED,
    QUEUE_OLDEST,
    QUEUE_REFRESH_FAILURES,
    QUEUE_LAST_REFRESH,
    START,
    INTERNAL_ERRORS,
    RELAY_DROPPED,
    CLOCK_SKEW,
    FOLDED,
    PUBLISHED,
    PUBLISH_FAILURES,
    PUBLISH_DURATION,
)
"""Every metric, in the order of the reference table: the documented ones first."""
