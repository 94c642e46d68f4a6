"""Add metrics that no instrument of the SDK recorded to each reader's collection.

The specification calls such a source a MetricProducer. Python's SDK does not have it yet. So our own readers, for pull
and for push, ask the producers themselves. They are in-memory readers of the SDK's, whose ``get_metrics_data`` is
public: another reader has to override a private method.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, cast

from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric, ScopeMetrics
    from opentelemetry.sdk.resources import Resource


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


class Producers:
    """The sources that each of our readers has besides the SDK; more may be added at any time."""

    def __init__(self, resource: Resource | None = None, of: Sequence[Producer] = ()) -> None:
        """Ask these; ``resource`` describes the process where the SDK itself may have no metric, and so no resource."""
        self._resource = resource
        self._of = list(of)

    def add(self, producer: Producer) -> None:
        """Ask one more."""
        self._of.append(producer)

    def besides(self, producer: Producer) -> Producers:
        """Return these of now, and one more, for a reader that has one of its own."""
        return Producers(self._resource, [*self._of, producer])

    def collect(self, reader: InMemoryMetricReader) -> MetricsData | None:
        """Collect with a reader of the SDK's, and add what is produced; None where there is nothing at all.

        Raises any exception of an instrument's callback.
        """
        data = reader.get_metrics_data()
        if data is None:
            if self._resource is None:
                return None
            data = MetricsData([ResourceMetrics(self._resource, [], self._resource.schema_url)])
        scopes = cast("list[ScopeMetrics]", data.resource_metrics[0].scope_metrics)
        now = time.time_ns()
        for producer in self._of:
            _add(scopes, producer.produce(now))
        return data if scopes else None


def _add(scopes: list[ScopeMetrics], produced: Iterable[ScopeMetrics]) -> None:
    """Add metrics to those of their scope; our own scope comes first, whatever the application records."""
    for made in produced:
        for known in scopes:
            if known.scope == made.scope:
                metrics_of(known).extend(made.metrics)
                break
        else:
            scopes.insert(0, made)
