"""Metrics that no instrument of the SDK recorded, handed to each reader that collects.

The specification calls their source a MetricProducer; Python's SDK does not have it yet, so our own readers, for pull
and for push, ask the producers in ``_receive_metrics``, the method that the SDK asks readers to override.
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
        """Make this moment's metrics, ``now`` in nanoseconds since the epoch.

        Asked by each reader, one at a time and behind the fork gate, and each may add to the lists that it gets.
        So values are cumulative, and nothing is used up by asking.
        """


def metrics_of(scope: ScopeMetrics) -> list[Metric]:
    """Give a scope's metrics as the list that they are: the SDK made it for this collection, and it may be changed."""
    return cast("list[Metric]", scope.metrics)


def add_produced(data: MetricsData, producers: Sequence[Producer]) -> None:
    """Add what the producers make to what the SDK collected; metrics of one scope are put together."""
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
