"""The SDK's private names: this fails when a release moves one, and the relay then switches itself off."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.metrics import _internal as api
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics import _internal as internal
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer
from opentelemetry.sdk.metrics._internal.metric_reader_storage import MetricReaderStorage
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from otel_celery.relay import sdk
from tests.integration.relay.hostile import raising


def test_the_sdk_is_as_we_know_it() -> None:
    """Everything that the relay does to the SDK works on the version that is installed."""
    sdk.check()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (SynchronousMeasurementConsumer, "consume_measurement"),
        (SynchronousMeasurementConsumer, "register_asynchronous_instrument"),
        (MetricReaderStorage, "collect"),
        (MetricReaderStorage, "consume_measurement"),
        (api._ProxyMeterProvider, "on_set_meter_provider"),
        (internal, "_ObservableUpDownCounter"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_name_that_has_moved_is_noticed(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """It is noticed before anything depends on it, also where something else of that name remains."""
    monkeypatch.delattr(owner, name)
    with pytest.raises(sdk.SdkMovedError):
        sdk.check()


def test_a_renewed_provider_begins_anew() -> None:
    """Neither what was recorded, nor observables, nor a held lock comes along; old instruments go on."""
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    meter = provider.get_meter("m")
    counter = meter.create_counter("c")
    meter.create_observable_gauge("g", [lambda _: []])
    counter.add(5)
    with provider._measurement_consumer._lock, meter._instrument_registration_lock:  # type: ignore[attr-defined]
        sdk.renew(provider)
        fresh = InMemoryMetricReader()
        provider.add_metric_reader(fresh)
        counter.add(1)
        data = fresh.get_metrics_data()
    assert data is not None
    ((metric,),) = [scope.metrics for scope in data.resource_metrics[0].scope_metrics]
    assert [point.value for point in metric.data.data_points] == [1]  # type: ignore[union-attr]
    assert not sdk.observes(provider)


def test_the_next_use_is_heard_once() -> None:
    """A measurement is recorded all the same, and a second one is not heard.

    The first is heard before and after: whoever collects in between is told once more.
    """
    reader, heard = InMemoryMetricReader(), list[bool]()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    counter = provider.get_meter("m").create_counter("c")

    def hear() -> bool:
        heard.append(reader.get_metrics_data() is not None)
        return True

    sdk.on_use(provider, hear)
    assert heard == []
    counter.add(1)
    counter.add(1)
    provider.get_meter("m").create_observable_gauge("g", [lambda _: []])
    data = reader.get_metrics_data()
    assert heard == [False, False, True]
    assert data is not None
    assert data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].value == 2  # type: ignore[union-attr]


def test_every_reader_is_fed_the_old_and_the_new() -> None:
    """A reader that is added later receives what is blended in as well."""
    old, new, asked = InMemoryMetricReader(), InMemoryMetricReader(), list[object]()
    provider = MeterProvider([old], shutdown_on_exit=False)

    def blend(reader, data):
        asked.append(reader)
        return data

    sdk.blend_into(provider, blend, lambda _: None)
    provider.add_metric_reader(new)
    old.collect()
    new.collect()
    assert asked == [old, new]


def test_what_a_reader_prefers() -> None:
    """Changes or totals, by the kind of instrument; a gauge has no changes."""
    reader = InMemoryMetricReader(preferred_temporality={Counter: AggregationTemporality.DELTA})
    assert [sdk.is_delta(reader, kind) for kind in ("counter", "up_down", "gauge")] == [True, False, False]


def test_f66_one_instrument_does_not_end_the_collections_of_a_process() -> None:
    """What cannot be observed, or added to what was collected before, is left out and told; the others are shown."""
    reader, lost = InMemoryMetricReader(), list[str]()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    sdk.collect_apart(provider, lost.append)
    meter = provider.get_meter("m")
    mixed, good = meter.create_counter("mixed"), meter.create_counter("good")
    wrong: Any = Decimal("0.5")
    mixed.add(wrong)
    good.add(1)

    def collected() -> dict[str, Any]:
        data: Any = reader.get_metrics_data()
        return {m.name: m.data.data_points[0].value for m in data.resource_metrics[0].scope_metrics[0].metrics}

    assert collected() == {"mixed": Decimal("0.5"), "good": 1}
    mixed.add(0.25)
    hostile: Any = raising(str, "__hash__")("x")
    meter.create_observable_counter("seen", [lambda _: [Observation(wrong), Observation(1, {"l": hostile})]])
    assert collected() == {"good": 1, "seen": 0.5}
    assert lost == ["seen", "mixed"]
    assert collected() == {"mixed": Decimal("0.5"), "good": 1, "seen": 0.5}
