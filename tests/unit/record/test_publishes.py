"""What counts publishes: plain and bounded labels, in OpenTelemetry's meters or in prometheus_client's registry."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, Counter

from otel_celery.forks import Home
from otel_celery.record.meter_sink import MeterSink
from otel_celery.record.publishes import Publishes
from otel_celery.record.registry_sink import registry_sink
from otel_celery.settings.settings import Bounds, Settings
from tests.unit.record.fakes import recording, samples

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kept:
    """Remembers; implements ``publishes.Sink``."""

    def __init__(self) -> None:
        """Remember nothing."""
        self.told: list[tuple[Mapping[str, str], float, str | None]] = []
        self.then: Any = None

    def record(self, attributes: Mapping[str, str], seconds: float, exception: str | None) -> None:
        """Remember, and do what the test says."""
        self.told.append((attributes, seconds, exception))
        if self.then is not None:
            then, self.then = self.then, None
            then()


def test_a_publish_has_its_labels() -> None:
    """With the worker where a worker publishes, and without it elsewhere."""
    kept = Kept()
    Publishes(kept, Bounds()).published("t", "q", 0.5, None)
    Publishes(kept, Bounds(), "w@h").published("t", "q", 0.25, "OSError")
    assert kept.told == [
        ({"task_name": "t", "queue": "q"}, 0.5, None),
        ({"worker": "w@h", "task_name": "t", "queue": "q"}, 0.25, "OSError"),
    ]


def test_names_are_made_plain_and_bounded() -> None:
    """Objects, surrogates and too many names do not become labels."""
    kept = Kept()
    folded: list[str] = []
    publishes = Publishes(kept, Bounds(task_names=2), folded=folded.append)
    for name in ("a\ud800", object(), "", "b", "c"):
        publishes.published(name, None, 0.0, None)
    assert [told[0]["task_name"] for told in kept.told] == ["a?", "other", "other", "b", "other"]
    assert {told[0]["queue"] for told in kept.told} == {"other"}
    assert folded == ["task_name"]


def test_what_a_signals_handler_publishes_meanwhile_is_recorded_afterwards() -> None:
    """The sink is not entered twice by one thread."""
    kept = Kept()
    publishes = Publishes(kept, Bounds())
    told: list[int] = []

    def then() -> None:
        publishes.published("inner", "q", 0.0, None)
        told.append(len(kept.told))

    kept.then = then
    publishes.published("outer", "q", 0.0, None)
    assert [each[0]["task_name"] for each in kept.told] == ["outer", "inner"]
    assert told == [1]


def test_many_threads_count_exactly() -> None:
    """None is lost and none is counted twice."""
    registry = CollectorRegistry()
    publishes = Publishes(registry_sink(registry, (0.1,)), Bounds())

    def publish() -> None:
        for _ in range(500):
            publishes.published("t", "q", 0.0, None)

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.get_sample_value("celery_task_published_total", {"task_name": "t", "queue": "q"}) == 4_000


def test_a_forked_copy_counts_nothing_where_nobody_hears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its values would be lost all the same."""
    kept = Kept()
    publishes = Publishes(kept, Bounds(), home=Home())
    monkeypatch.setattr(Home, "is_here", False)
    publishes.published("t", "q", 0.0, None)
    assert kept.told == []


def test_a_meter_has_the_three_metrics() -> None:
    """Counts of those that were sent and of those that failed, and the duration of both."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    publishes = Publishes(MeterSink(provider.get_meter("otel_celery"), (0.1, 1.0)), Bounds())
    publishes.published("t", "q", 0.5, None)
    publishes.published("t", "q", 0.05, "OSError")
    data = reader.get_metrics_data()
    assert data is not None
    points: dict[str, Any] = {m.name: m.data.data_points[0] for m in data.resource_metrics[0].scope_metrics[0].metrics}
    assert points["celery.task.published"].value == 1
    assert points["celery.task.publish.failures"].value == 1
    assert points["celery.task.publish.failures"].attributes["exception"] == "OSError"
    assert points["celery.task.publish.duration"].bucket_counts == (1, 1, 0)


def test_a_registry_is_shared_by_apps_and_a_taken_name_is_refused() -> None:
    """The same sink the second time; an application's own metric of our name raises."""
    registry, taken = CollectorRegistry(), CollectorRegistry()
    assert registry_sink(registry, (1.0,)) is registry_sink(registry, (1.0,))
    Counter("celery_task_published", "mine", registry=taken)
    with pytest.raises(ValueError, match="Duplicated"):
        registry_sink(taken, (1.0,))


def test_a_workers_own_publishes_are_on_its_port() -> None:
    """With its name as a label."""
    opened = recording()
    opened.publishes(Settings()).published("t", "q", 0.5, None)
    (sample,) = samples(opened.registry, "celery_task_published_total")
    assert (sample.labels, sample.value) == ({"worker": "w@h", "task_name": "t", "queue": "q"}, 1.0)
