"""Add metrics that no instrument of the SDK recorded to each reader's collection.

The specification calls such a source a MetricProducer. Python's SDK does not have it yet. So our own readers, for pull
and for push, ask the producers themselves. They are in-memory readers of the SDK's, whose ``get_metrics_data`` is
public: another reader has to override a private method.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData, ScopeMetrics


class Producer(Protocol):
    """A source of metrics besides the SDK's own."""

    def produce(self, now: int) -> Iterable[ScopeMetrics]:
        """Make this moment's metrics; ``now`` is in nanoseconds since the epoch.

        Readers ask one at a time, behind the fork gate, and may append to the lists that they get. Values are
        cumulative, since every reader asks.
        """


def metrics_of(scope: ScopeMetrics) -> list[Metric]:
    """Give a scope's metrics as the list that they are: the SDK made it for this collection, and it may be changed."""
    return cast("list[Metric]", scope.metrics)


def add_produced(data: MetricsData, producers: Sequence[Producer]) -> None:
    """Add the producers' metrics to a collection of the SDK's; metrics of one scope are put together."""
    now = time.time_ns()
    scopes = cast("list[ScopeMetrics]", data.resource_metrics[0].scope_metrics)
    for producer in producers:
        for produced in producer.produce(now):
            for known in scopes:
                if known.scope == produced.scope:
                    metrics_of(known).extend(produced.metrics)
                    break
            else:
                scopes.append(produced)
