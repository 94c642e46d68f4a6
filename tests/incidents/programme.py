"""Which incidents there are, in the order in which they are told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.incidents import others, pools, queues, tasks, workers

if TYPE_CHECKING:
    from tests.incidents.incident import Incident

EVERY: tuple[type[Incident], ...] = (
    *(workers.Idle, workers.Dead, workers.NeverSeen, workers.Stopped, workers.Blocked, workers.Stuck),
    *(workers.Renamed, workers.Draining, workers.OneName),
    *(pools.Hung, pools.Full, pools.FullOnEventlet, pools.FullWithoutLoop, pools.Growing),
    *(
        tasks.Poison,
        tasks.Expired,
        tasks.AlwaysFails,
        tasks.Leaking,
        tasks.FailingFast,
        tasks.HardLimits,
        tasks.Unknown,
    ),
    *(queues.Mistyped, queues.MistypedOnRabbitMQ, queues.BrokerAway),
    *(others.BeatStopped, others.PublishingFails, others.PostgresNotUsed, others.RedisUnwatched),
)
WORST = tuple(each for each in EVERY if each.worst)
"""Those that are played on every submission."""
