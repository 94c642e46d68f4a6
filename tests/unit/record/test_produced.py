"""Readings as points of our own, held to what the SDK's observable instruments make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_celery import catalogue
from otel_celery.catalogue import SCOPE
from otel_celery.lifecycle import Outcome, Revocation
from otel_celery.record import instruments
from otel_celery.record.errors import Errors
from otel_celery.record.histograms import UNRECORDED
from otel_celery.record.observed import ObservedReadings
from otel_celery.record.produced import ProducedReadings
from otel_celery.record.tallies import Tallies
from otel_celery.record.views import views
from otel_celery.settings.settings import Bounds
from tests.unit.record.fakes import FakeLevels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.metrics.export import Metric

STARTED_AT, NOW = 5, 7


def produced(readings: ProducedReadings) -> list[Metric]:
    """Collect what is produced."""
    return [metric for scope in readings.produce(NOW) for metric in scope.metrics]


def timeless(metrics: list[Any]) -> list[Any]:
    """Take the moments out of points, and the way in which they have no exemplars."""
    return [
        replace(
            metric,
            data=replace(
                metric.data,
                data_points=[
                    replace(
                        point,
                        time_unix_nano=0,
                        start_time_unix_nano=point.start_time_unix_nano and 1,
                        exemplars=[*point.exemplars],
                    )
                    for point in metric.data.data_points
                ],
            ),
        )
        for metric in metrics
    ]


def test_they_are_what_the_sdk_makes_of_them() -> None:
    """The same metrics, points, kinds and order, of a worker with two tasks."""
    tallies = Tallies("w@h", Bounds(), UNRECORDED)
    book = tallies.task("proj.add", "trading")
    book.received(redelivered=True)
    book.ended(Outcome.FAILURE, 0.5, None)
    book.raised("ValueError")
    book.revoked(Revocation.EXPIRED)
    book.last_success = 1_000.25
    tallies.task("proj.mul", "trading").received(redelivered=False)
    levels = FakeLevels(ages={"proj.add": 12.5}, names=["a", "b"])
    ours = ProducedReadings(InstrumentationScope(SCOPE), STARTED_AT)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False, views=views())
    for shown in (ours, ObservedReadings(provider.get_meter(SCOPE))):
        instruments.register(shown, tallies, levels)
    data = reader.get_metrics_data()
    assert data is not None
    theirs = list(data.resource_metrics[0].scope_metrics[0].metrics)
    assert timeless(produced(ours)) == timeless(theirs)
    assert len(theirs) > 25


def test_each_point_has_its_moments() -> None:
    """A counter counts from the start of the recording; a gauge is of the moment."""
    readings = ProducedReadings(InstrumentationScope(SCOPE), STARTED_AT)
    readings.show({metric: lambda: [(1, {})] for metric in (catalogue.TASKS, catalogue.WORKER_UP)}, Errors(), bool)
    points = [metric.data.data_points[0] for metric in produced(readings)]
    assert [(point.start_time_unix_nano, point.time_unix_nano) for point in points] == [(STARTED_AT, NOW), (None, NOW)]


def test_the_labels_of_a_series_are_one_object() -> None:
    """What is made of a series is kept from one scrape to the next by the identity of its labels."""
    tallies = Tallies("w@h", Bounds(), UNRECORDED)
    tallies.task("proj.add", "trading").raised("ValueError")
    readings = ProducedReadings(InstrumentationScope(SCOPE), STARTED_AT)
    instruments.register(readings, tallies, FakeLevels(ages={"proj.add": 12.5}))
    first, second = ([id(p.attributes) for m in produced(readings) for p in m.data.data_points] for _ in range(2))
    assert first == second


def test_the_zeros_of_other_tasks_are_the_same_once_one_runs() -> None:
    """Each has the labels that it had, so that nothing is made of it again."""
    tallies = Tallies("w@h", Bounds(), UNRECORDED)
    tallies.expect([("proj.add", "trading"), ("proj.idle", "trading")])
    before = {id(task) for task in tallies.tasks()}
    tallies.task("proj.add", "trading")
    assert len(before & {id(task) for task in tallies.tasks()}) == 1


def test_two_owners_of_a_metric_are_read_together() -> None:
    """The readings of one go away with it, and a metric without any is not shown."""
    readings = ProducedReadings(InstrumentationScope(SCOPE), STARTED_AT)

    def read() -> list[tuple[float, Mapping[str, str]]]:
        return [(1, {})]

    leaves = [readings.show({catalogue.QUEUE_LENGTH: read}, Errors(), bool) for _ in range(2)]
    (metric,) = produced(readings)
    assert len(metric.data.data_points) == 2
    leaves[0]()
    (metric,) = produced(readings)
    assert len(metric.data.data_points) == 1
    leaves[1]()
    assert produced(readings) == []
