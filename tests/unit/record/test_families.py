"""Our collector and our naming, held to the exporter's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.prometheus import _CustomCollector, _mapping
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    Gauge,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from otel_celery.record import families, naming
from otel_celery.record.families import RememberingCollector

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

UNITS = [*naming.UNITS, *naming.PER, "m/s", "By/s", "/s", "/", "{task}", "{task}/s", "a b", "__", "a/b/c", "\n"]


@pytest.mark.parametrize("unit", UNITS)
def test_known_units(unit: str) -> None:
    """Each that the exporter has words for, and odd ones."""
    assert naming.unit_word(unit) == _mapping.map_unit(unit)
    assert naming.unit_word(f"{unit}/h") == _mapping.map_unit(f"{unit}/h")


@given(st.text(max_size=20))
def test_any_text(text: str) -> None:
    """Whatever the name, the label or the unit."""
    assert naming.metric_name(text) == _mapping.sanitize_full_name(text)
    assert naming.label_name(text) == _mapping.sanitize_attribute(text)
    assert naming.unit_word(text) == _mapping.map_unit(text.replace(":", "_"))


@given(st.one_of(st.text(), st.integers(), st.booleans(), st.floats(), st.lists(st.text()), st.tuples(st.integers())))
def test_any_label_value(value: Any) -> None:
    """Whatever its type."""
    assert naming.label_value(value) == _CustomCollector()._check_value(value)


def collections() -> list[MetricsData]:
    """Record with each instrument, with labels that differ from point to point; collected twice."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], Resource.create({"service.name": "shop", "1st": 2, "a.b": ["x", 1]}))
    collected = []
    one, two = provider.get_meter("one", "1.0"), provider.get_meter("two")
    counter, total = one.create_counter("orders", "1", "Orders"), one.create_counter("money_total", "EUR/h")
    up_down, gauge = two.create_up_down_counter("open"), two.create_gauge("level.9", "Cel", 'with "quotes"\n')
    sizes = [meter.create_histogram("size", "By", meter.name) for meter in (one, two)]
    two.create_observable_gauge("seen", [lambda _: [Observation(1, {"a": 1}), Observation(2, {"b": 2})]])
    for number in (1, 2):
        counter.add(number)
        total.add(0.5, {"a.b": "x", "le": "1"})
        total.add(1.5, {"a_c": True})
        up_down.add(-number, {"z": 1.5, "a": "b"})
        gauge.set(float("nan"), {"\u00e9": "\u00e9\n\\"})
        for size in sizes:
            size.record(number * 3000, {"who": size.__class__.__name__})
        collected.append(reader.get_metrics_data())
    return [data for data in collected if data is not None]


def scrapes(collector: Any, add: Any, write: Any) -> list[str]:
    """Have a collector show collection after collection."""
    registry = CollectorRegistry()
    registry.register(collector)
    shown = []
    for data in collections():
        add(data)
        lines = write(registry).decode().splitlines(keepends=True)
        shown.append("".join(line for line in lines if "_created" not in line))
    return shown


@pytest.mark.parametrize("write", [generate_latest, openmetrics.generate_latest], ids=["text", "OpenMetrics"])
def test_it_shows_what_the_exporters_own_does(write: Any) -> None:
    """Byte for byte, at the first scrape and at the next, in both formats."""
    ours, theirs = RememberingCollector(lambda: None), _CustomCollector(scope_info_enabled=False)
    shown = scrapes(ours, ours.add, write)
    assert shown == scrapes(theirs, theirs.add_metrics_data, write)
    assert len(shown) == 2
    assert "orders_total 3.0" in shown[1]


def test_what_has_not_changed_is_the_very_same_sample() -> None:
    """So whoever writes it can tell at a glance; a zero that gets a sign has changed."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    counter, gauge, size = (
        provider.get_meter("m").create_counter("orders"),
        provider.get_meter("m").create_gauge("level"),
        provider.get_meter("m").create_histogram("size"),
    )
    for who in ("a", "b"):
        counter.add(1, {"who": who})
        size.record(3, {"who": who})
    collector = RememberingCollector(lambda: None)

    def scraped() -> dict[tuple[str, str | None, str | None], Sample]:
        data = reader.get_metrics_data()
        assert data is not None
        collector.add(data)
        found = [sample for family in collector.collect() for sample in family.samples]
        return {(sample.name, sample.labels.get("who"), sample.labels.get("le")): sample for sample in found}

    gauge.set(0.0)
    before = scraped()
    assert all(sample is before[key] for key, sample in scraped().items())
    counter.add(1, {"who": "b"})
    size.record(3, {"who": "a"})
    gauge.set(-0.0)
    changed = {key[:2] for key, sample in scraped().items() if sample is not before[key]}
    assert changed == {
        ("orders_total", "b"),
        ("size_bucket", "a"),
        ("size_count", "a"),
        ("size_sum", "a"),
        ("level", None),
    }


def test_what_is_kept_of_series_that_come_and_go_is_bounded() -> None:
    """By those of the last scrape: a label set that returns is a new object, which no later scrape may bring again."""
    collector = RememberingCollector(lambda: None)
    for _ in range(3 * families.SPARE):
        point = NumberDataPoint({"task_name": "proj.add"}, None, 1, 1)  # type: ignore[arg-type]
        metric = Metric("oldest", "", "s", Gauge([point]))
        scope = ScopeMetrics(InstrumentationScope("otel_celery"), [metric], "")
        collector.add(MetricsData([ResourceMetrics(Resource({}), [scope], "")]))
        assert len(list(collector.collect())) == 2
        assert collector.kept <= families.SPARE + 3
