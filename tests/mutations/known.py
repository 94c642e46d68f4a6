"""Mutations that no alert's test can notice, or that another test notices, each with the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.mutations.expression import Mutation


@dataclass(frozen=True)
class Known:
    """Some mutations of some rules, and why no alert's blocks need to notice them."""

    rules: str
    mutations: str
    why: str


ONE_TEXT = {
    "pool:celery_task_rejected:increase15m": ("pool_reason:celery_task_revoked:increase15m",),
    "pool_task_limit:celery_task_timeouts:increase15m": (
        "pool_task:celery_task_redelivered:increase15m",
        "pool_task_exception:celery_task_failures_by_exception:increase15m",
    ),
}
"""Counts of a quarter of an hour, each with those that have its text, names apart (`test_mutations`)."""
HELD = "|".join(ONE_TEXT)

KNOWN: tuple[Known, ...] = (
    Known("|".join(each for others in ONE_TEXT.values() for each in others), "", "the text of one that is held"),
    Known("CeleryPublishFailures", "", "counts as rules.yml has them: its own are held"),
    Known("CeleryBeatEntryLate", "", "counts as the alert above has them: one text (`test_mutations`)"),
    Known(HELD, "<<unless[^>]*unjudged", "test_recorded holds it of every count"),
    Known(
        "pool:celery_task_rejected:increase15m", "<<10m>>.* -> 1200000ms", "a recorded sum is there five minutes longer"
    ),
    Known(HELD, "== <<1>>", "`up` of what is scraped is 0 or 1, and what is down exposes nothing"),
    Known(
        HELD,
        'limit="hard"|<<unless up offset 15m|and celery_task_timeouts',
        "of soft limits, and of the old: the alert asks",
    ),
    Known(r"target_worker:celery_worker_up:(unjudged|again)", "", "test_recorded holds what reads it"),
    Known(
        "target_worker:celery_worker_up:last_timestamp",
        "<<21600>>|<<and ignoring",
        "test_recorded holds how long it lasts without a target, of which no alert asks",
    ),
    Known(
        ".*", r"unless ignoring \([^)]*\) target_worker:celery_worker_up:again>>", "test_recorded holds it, two targets"
    ),
    Known(".*", r"\[15m\]\) <<>>> 0|<<and resets", "increase() tells the same but for what it extrapolates"),
    Known(r".*:ratio.*|.*:mean(_rate1d)?", r"<<>>> 0", "a ratio of nothing is NaN, which is above no limit"),
    Known(
        r".*:(last_timestamp|seen)",
        r"\[<<1[hd]>>\].* -> (7200000|172800000)ms",
        "it remembers itself: a longer window is for rules that stand still for longer",
    ),
    Known(
        "pool_task:celery_task_last_success_timestamp_seconds:max|task:celery_task_last_success_or_watch.*",
        r"\[<<1d>>\]",
        "each of two memories: one of them is enough for the alert",
    ),
    Known("(Redis|Postgres).*|instance:.*", "<<job=", "only those that were seen are asked, and these have the job"),
    Known("queue:celery_queue_length:max", "<<job=", "nobody else has this metric"),
    Known("target:celery_process_start_time_seconds:state", "<<job=", "only what has been a worker's target is asked"),
    Known(".*:rate5m", r"\[<<5m>>\]", "how wide a rate is that is averaged, or asked whether it is any"),
    Known(r".*:(rate1h|p99_rate1d)", r"\[<<1[hd]>>\]", "an average of averages of what is steady"),
    Known("pool_task:celery_task_runtime_seconds:mean_rate1d", "<<le=", "a sum of buckets: the one that has a count"),
    Known("CeleryHardTimeLimits", "<<limit=", "the rule has none but hard ones"),
    Known(
        "CeleryBrokerAway",
        r"<<==>> 0 and max|\[<<1m>>\]",
        "the other half of the same `and` asks it within two minutes",
    ),
    Known(
        ".*oldest_message_age_seconds:limit",
        "<<queue:celery_queue_length:max or>>",
        "an age is told of what has a length",
    ),
    Known("CeleryOldestMessageTooOld", "<<86400>>.* -> 43200", "no age is reckoned between four hours and a day"),
    Known("task:celery_task_received:expected", "<<and on", "what nobody expects has no limit to be compared with"),
    Known(
        "task:celery_task_last_success_or_watch.*",
        "<<unless max by|<<task:celery_task_received:expected or>>",
        "of a task that is expected without labels: which environment is told first",
    ),
)


def reason_for(name: str, mutation: Mutation) -> int | None:
    """Find which of what is known a mutation of a rule is; None where it is none."""
    found = (number for number, each in enumerate(KNOWN)
             if re.fullmatch(each.rules, name) and re.search(each.mutations, mutation.what))  # fmt: skip
    return next(found, None)
