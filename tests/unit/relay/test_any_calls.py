"""Whatever the main process and its children record, and however they observe it: the port is fit for every parser."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider

from otel_celery.lifecycle import Loss
from otel_celery.relay import sdk
from otel_celery.relay.child.delta import DeltaReader
from otel_celery.relay.main.blend import Blender
from otel_celery.relay.main.merged import Merged
from otel_celery.relay.wire import frames
from tests.unit.record.calls import CALLS, play
from tests.unit.record.fakes import recording
from tests.unit.record.test_foreign import parsed

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

CHILDREN = 2


class Worker:
    """A main process and its children, each with a provider of its own, and no process between them."""

    def __init__(self) -> None:
        """Have the children's values blended into what the port shows."""
        self.opened = recording()
        self._books = Merged(self._lose, time.time_ns())
        self._blend = Blender(200, self._lose)
        provider = self.opened.provider
        sdk.blend_into(provider, self._blended, lambda _: None)
        self._readers = [DeltaReader(200) for _ in range(CHILDREN)]
        self._providers = [provider, *map(self._child, self._readers)]

    def meter(self, process: int, scope: str) -> Meter:
        """Give a meter of the main process, or of a child."""
        return self._providers[process].get_meter(scope)

    def hear(self) -> None:
        """Have all children tell what is new."""
        for child, reader in enumerate(self._readers):
            made, lost = reader.take()
            self._books.lose(lost)
            for body in frames.Incoming().feed(b"".join(made)):
                self._books.take(child, frames.message(body)[1])

    @staticmethod
    def _child(reader: DeltaReader) -> MeterProvider:
        provider = MeterProvider([reader], shutdown_on_exit=False)
        sdk.collect_apart_for(provider, reader, partial(reader.packer.lose, Loss.VALUE))
        return provider

    def _blended(self, reader: MetricReader, data: MetricsData | None) -> MetricsData | None:
        is_delta = partial(sdk.is_delta, reader)
        merged = self._books.points(reader, is_delta, time.time_ns())
        return self._blend(data, merged, sdk.resource(self.opened.provider), is_delta)

    def _lose(self, reason: Loss, number: int = 1, *, name: str = "") -> None:
        """Count nothing."""


@given(st.lists(st.tuples(st.integers(0, CHILDREN), CALLS), min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_sequence_of_calls_in_any_process(promtool, turns: list[tuple[int, list[Any]]]) -> None:
    """And what others have recorded, in the main process and in a child, is as it was at each scrape."""
    worker = Worker()
    for process in (0, 1):
        worker.meter(process, "plain").create_counter("plain").add(2, {"a": "b"})
        size = worker.meter(process, "plain").create_histogram("size")
        for number in (0, 7.5):
            size.record(number, {"a": "b"})
    for process, calls in turns:
        for scope, *call in calls:
            play(worker.meter(process, scope), tuple(call))
        worker.hear()
        text, _ = parsed(worker.opened, promtool)
        for line in ('plain_total{a="b"} 4.0', 'size_count{a="b"} 4.0', 'size_sum{a="b"} 15.0'):
            assert line in text
