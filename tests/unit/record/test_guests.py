"""What others record on the provider that we export cannot break the port."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.unit.record.fakes import recording, scrape, value

if TYPE_CHECKING:
    from otel_celery.record.providers import Recording


@pytest.fixture
def opened() -> Recording:
    """Open the books on a provider of our own."""
    return recording()


def test_what_is_clean_is_not_touched(opened: Recording) -> None:
    """Labels, values and empty labels stay as they are."""
    opened.provider.get_meter("m").create_counter("orders").add(2, {"a": "", "n": 1, "t": True})
    assert 'orders_total{a="",n="1",t="true"} 2.0' in scrape(opened.registry)


def test_a_lone_surrogate_fails_no_scrape(opened: Recording) -> None:
    """It is replaced, in labels and descriptions, in this scrape and each later one."""
    counter = opened.provider.get_meter("m").create_counter("orders", description="d\udce9")
    counter.add(1, {"a": "t\udce9", "b": ["\udce9"]})
    for _ in range(2):
        assert 'orders_total{a="t?",b="[\\"?\\"]"} 1.0' in scrape(opened.registry)


def test_series_that_are_the_same_once_cut_are_one(opened: Recording) -> None:
    """Two values that differ behind the cut are added up, or Prometheus would see a duplicate."""
    counter = opened.provider.get_meter("m").create_counter("orders")
    histogram = opened.provider.get_meter("m").create_histogram("weight")
    for end in "ab":
        counter.add(1, {"a": "x" * 200 + end})
        histogram.record(1, {"a": "x" * 200 + end})
    text = scrape(opened.registry)
    assert f'orders_total{{a="{"x" * 200}"}} 2.0' in text
    assert f'weight_count{{a="{"x" * 200}"}} 2.0' in text


def test_one_name_of_several_scopes_is_one_family(opened: Recording) -> None:
    """The port shows no scopes: equal labels are added, others stand beside them."""
    for scope, labels in (("one", {"a": "1"}), ("two", {"b": "2"}), ("three", {"a": "1"})):
        opened.provider.get_meter(scope).create_counter("orders").add(1, labels)
    text = scrape(opened.registry)
    assert text.count("# TYPE orders_total counter") == 1
    assert 'orders_total{a="1",b=""} 2.0' in text
    assert 'orders_total{a="",b="2"} 1.0' in text


@pytest.mark.parametrize(
    ("kind", "name", "unit"),
    [
        ("counter", "celery.tasks", ""),
        ("counter", "celery_tasks_total", ""),
        ("gauge", "celery.worker.up", ""),
        ("gauge", "celery.task.duration", "s"),
        ("gauge", "celery.task.duration.seconds.count", ""),
        ("gauge", "process.open.fds", ""),
        ("gauge", "target.info", ""),
        ("gauge", "taken.total", ""),
        ("histogram", "taken", ""),
    ],
)
def test_a_taken_name_is_left_out_and_said_once(
    opened: Recording, caplog: pytest.LogCaptureFixture, kind: str, name: str, unit: str
) -> None:
    """Neither ours nor whoever came first is shadowed."""
    opened.provider.get_meter("first").create_counter("taken").add(1)
    scrape(opened.registry)
    meter = opened.provider.get_meter("rude")
    if kind == "counter":
        meter.create_counter(name, unit).add(77)
    elif kind == "gauge":
        meter.create_gauge(name, unit).set(77)
    else:
        meter.create_histogram(name, unit).record(77)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            text = scrape(opened.registry)
    assert "77" not in [line.rpartition(" ")[2].partition(".")[0] for line in text.splitlines()]
    assert "taken_total 1.0" in text
    assert value(opened.registry, "otel_celery_relay_dropped_total", reason="name") == 1
    assert [record.getMessage() for record in caplog.records if repr(name) in record.getMessage()] != []
    assert len(caplog.records) == 1


def test_the_applications_own_readers_are_left_alone(opened: Recording) -> None:
    """What another reader of the provider sees is what was recorded."""
    other = InMemoryMetricReader()
    opened.provider.add_metric_reader(other)
    opened.provider.get_meter("m").create_counter("orders").add(1, {"a": "x" * 300})
    scrape(opened.registry)
    data = other.get_metrics_data()
    assert data is not None
    points = [p for s in data.resource_metrics[0].scope_metrics for m in s.metrics for p in m.data.data_points]
    assert {"a": "x" * 300} in [point.attributes for point in points]
