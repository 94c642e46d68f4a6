"""What the page says of a process: its state in words, what it is, how busy it is, and its tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from otel_celery.page import words
from otel_celery.page.figures import Figures
from otel_celery.page.tables import Table, tables
from otel_celery.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric as Family


class Health(Protocol):
    """The health of the process, as ``/-/healthy`` and ``/-/ready`` tell it."""

    def healthy(self) -> str | None:
        """Return None, or why the process has to be restarted."""

    def ready(self) -> str | None:
        """Return None, or why the process does not do its work."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All that is shown, as plain text that nobody has made safe for a format."""

    who: str
    mood: str
    """``good``, ``waiting`` or ``bad``."""
    state: str
    busy: tuple[float, float] | None
    """Busy slots, and all; None of a process without a pool."""
    facts: list[tuple[str, str]]
    """A heading and its words each."""
    troubles: list[str]
    """Sentences about what an operator might not expect."""
    tables: list[Table]
    made_at: str


def overview(who: str, families: Iterable[Family], health: Health, now: float) -> Overview:
    """Look at a collection and at the health of a process; ``now`` is in seconds since the epoch."""
    figures = Figures(families)
    active, size = figures.value("celery_worker_tasks_active"), figures.value("celery_worker_pool_size")
    return Overview(
        who=words.name(who),
        **dict(zip(("mood", "state"), _state(figures, health), strict=True)),
        busy=(active, size) if active is not None and size and math.isfinite(active + size) else None,
        facts=[*_facts(figures, now)],
        troubles=[*_troubles(figures)],
        tables=tables(figures, now),
        made_at=words.time(now),
    )


def _state(figures: Figures, health: Health) -> tuple[str, str]:
    unhealthy, unready = health.healthy(), health.ready()
    if unhealthy is not None:
        return "bad", f"has to be restarted: {words.name(unhealthy)}"
    if unready is None:
        return "good", "ready"
    if figures.value("celery_worker_draining"):
        return "waiting", f"draining: {words.name(unready)}"
    return "bad", f"not ready: {words.name(unready)}"


def _facts(figures: Figures, now: float) -> Iterator[tuple[str, str]]:
    if figures.has("celery_worker_info"):
        yield from _of_worker(figures)
    if figures.has("celery_beat_last_tick_timestamp_seconds") or figures.has("celery_beat_entries"):
        yield "last tick", words.ago(figures.value("celery_beat_last_tick_timestamp_seconds"), now)
        yield "entries", words.count(figures.value("celery_beat_entries"))
    if figures.has("otel_celery_queue_last_refresh_timestamp_seconds"):
        yield "queues asked", words.ago(figures.value("otel_celery_queue_last_refresh_timestamp_seconds"), now)
    if published := figures.total("celery_task_published_total"):
        yield "published", words.counted(published, "message", "messages")
    yield "versions", ", ".join(_versions(figures))
    since = figures.value("process_start_time_seconds")
    if since is not None:
        yield "since", f"{words.time(since)}, for {words.duration(now - since)}"


def _of_worker(figures: Figures) -> Iterator[tuple[str, str]]:
    yield "pool", words.name(figures.labels("celery_worker_info").get("pool_kind", ""))
    active, size = figures.total("celery_worker_tasks_active"), figures.total("celery_worker_pool_size")
    yield "busy", f"{words.count(active)} of {words.counted(size, 'slot', 'slots')}"
    held = [(word, figures.total(f"celery_worker_tasks_{word}")) for word in ("reserved", "scheduled")]
    yield "held", ", ".join(f"{words.count(number)} {word}" for word, number in held)
    ages = figures.highest("celery_worker_oldest_active_task_seconds", "task_name")
    if ages:
        oldest = max(ages, key=ages.__getitem__)
        yield "runs longest", f"{words.name(oldest)}, for {words.duration(ages[oldest])}"
    ends = ("received", "succeeded", "failed", "retried")
    yield "tasks", ", ".join(f"{words.count(figures.total(f'celery_task_{end}_total'))} {end}" for end in ends)


def _versions(figures: Figures) -> Iterator[str]:
    yield f"otel-celery {__version__}"
    if celery := figures.labels("celery_worker_info").get("celery_version"):
        yield f"Celery {words.name(celery)}"
    if python := figures.labels("target_info").get("process_runtime_version"):
        yield f"Python {words.name(python)}"


def _troubles(figures: Figures) -> Iterator[str]:
    exits = figures.sums("celery_worker_process_exits_total", "reason")
    unexpected = {reason: number for reason, number in exits.items() if number and reason != "recycled"}
    if unexpected:
        yield f"Pool processes ended unexpectedly: {_split(unexpected)}."
    if unknown := {
        why: number for why, number in figures.sums("celery_messages_unknown_total", "reason").items() if number
    }:
        yield f"Messages never became a task: {_split(unknown)}."
    if reconnects := figures.total("celery_worker_broker_reconnects_total"):
        yield f"The broker's connection was lost and came back {words.counted(reconnects, 'time', 'times')}."
    if lost := figures.total("celery_task_publish_failures_total"):
        yield f"{words.counted(lost, 'message', 'messages')} could not be published."
    if asked := figures.total("otel_celery_queue_refresh_failures_total"):
        yield f"{words.counted(asked, 'question', 'questions')} to the broker about its queues failed."
    if folded := {what: number for what, number in figures.sums("otel_celery_folded_total", "what").items() if number}:
        yield f"Label values are counted as other, since there are too many: {_split(folded)}."
    if errors := figures.total("otel_celery_internal_errors_total"):
        yield f"{words.counted(errors, 'error', 'errors')} of otel-celery's own; the log has the first of each kind."


def _split(numbers: dict[str, float]) -> str:
    return ", ".join(f"{words.count(number)} {words.name(what)}" for what, number in sorted(numbers.items()))
