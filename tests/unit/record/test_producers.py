"""Producers are handed to each reader of ours, for pull and for push, from the moment they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, Metric, NumberDataPoint, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, generate_latest

from otel_celery.record.producers import Producers
from otel_celery.record.pull import PullReader
from otel_celery.record.pusher import PushReader
from otel_celery.record.source import SourceReader
from tests.unit.record.fakes import only_foreign
from tests.unit.record.test_pusher import Exporter, Gate

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fixed:
    """Produces one gauge in each of two scopes."""

    def __init__(self) -> None:
        """Have not been asked."""
        self.asked = 0

    def produce(self, now: int) -> Iterator[ScopeMetrics]:
        """Count how often it is asked."""
        self.asked += 1
        for scope in ("known", "new"):
            point = NumberDataPoint({}, 0, now, self.asked)
            yield ScopeMetrics(InstrumentationScope(scope), [Metric(f"{scope}.made", "", "", Gauge([point]))], "")


def test_each_reader_asks_for_itself() -> None:
    """Both have what was produced, under the SDK's scope where there is one, and nothing twice."""
    fixed = Fixed()
    producers = Producers()
    registry = CollectorRegistry()
    push = PushReader(Exporter(Gate()), {}, producers, only_foreign())
    source = SourceReader()
    PullReader(source, registry, producers, only_foreign())
    provider = MeterProvider([source, push], shutdown_on_exit=False)
    provider.get_meter("known").create_counter("own").add(1)
    before = push.take()
    assert before is not None
    assert [len(scoped.metrics) for scoped in before.resource_metrics[0].scope_metrics] == [1]
    producers.add(fixed)
    text = generate_latest(registry).decode()
    assert [text.count(line) for line in ("\nknown_made 1.0", "\nnew_made 1.0", "\nown_total 1.0")] == [1, 1, 1]
    taken = push.take()
    assert taken is not None
    scopes = {s.scope.name: [m.name for m in s.metrics] for s in taken.resource_metrics[0].scope_metrics}
    assert scopes == {"known": ["own", "known.made"], "new": ["new.made"]}
    assert fixed.asked == 2


def test_what_is_produced_needs_no_metric_of_the_sdks() -> None:
    """Where the process is known, its resource stands for the SDK's; where it is not, there is no collection."""
    reader = SourceReader()
    _provider = MeterProvider([reader], shutdown_on_exit=False)
    resource = Resource({"service.name": "shop"})
    data = Producers(resource, [Fixed()]).collect(reader)
    assert data is not None
    assert data.resource_metrics[0].resource is resource
    assert {scope.scope.name for scope in data.resource_metrics[0].scope_metrics} == {"known", "new"}
    assert Producers(of=[Fixed()]).collect(reader) is None
    assert Producers(resource).collect(reader) is None, "nothing at all is no collection"


def test_one_reader_has_a_producer_more() -> None:
    """The others do not ask it."""
    reader = SourceReader()
    _provider = MeterProvider([reader], shutdown_on_exit=False)
    shared, own = Producers(Resource({})), Fixed()
    assert shared.besides(own).collect(reader) is not None
    assert shared.collect(reader) is None
    assert own.asked == 1
