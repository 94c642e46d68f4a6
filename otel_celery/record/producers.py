"""Add metrics that no instrument of the SDK recorded to each reader's collection.

The specification calls such a source a MetricProducer. Python's SDK does not have it yet. So our own readers, for pull
and for push, ask the producers in ``_receive_metrics``, the method that the SDK asks readers to override.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData, ScopeMetrics


class Producer(Protocol):
    """A source of metrics besides the SDK's own."""

    def produce(self, now: int) -> Iterable[ScopeMetrics]:
        """Make this moment's metrics; ``now`` is in nanoseconds since the epoch.

        Readers ask one at a time, behind the fork gate, and may append to the lists that they get. Values are
        cumulative, since every reader asks.
        """


def add_produced(data: MetricsData, producers: Sequence[Producer]) -> None:
    """Add the producers' metrics to a collection of the SDK's; metrics of one scope are put together."""
    now = time.time_ns()
    scopes: list[ScopeMetrics] = data.resource_metrics[0].scope_metrics  # type: ignore[assignment]
    for producer in producers:
        for produced in producer.produce(now):
            for known in scopes:
                if known.scope == produced.scope:
                    known.metrics.extend(produced.metrics)  # type: ignore[attr-defined]
                    break
            else:
                scopes.append(produced)
