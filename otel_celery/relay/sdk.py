"""The private names of OpenTelemetry that the relay needs, and :func:`check`, which tests that they still work.

The SDK has no public way to notice a provider's first measurement, to give a forked child new locks, or to hand a
reader metrics that no instrument recorded (the specification's MetricProducer). If a release moves one of these names,
the relay switches itself off with one sentence, and no task notices.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation
from opentelemetry.metrics import _internal as api
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics import _internal as sdk
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

from otel_celery.relay.apart import Collector

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
    from opentelemetry.sdk.resources import Resource

    from otel_celery.relay.apart import Failed

    Collect = Callable[..., MetricsData | None]
    Blend = Callable[[MetricReader, MetricsData | None], MetricsData | None]

KEPT = (Exception, SystemExit)
"""Exceptions of an application's callback that are kept from the thread that collects, such as the port's."""

_CLASSES = {
    "counter": "_Counter",
    "up_down": "_UpDownCounter",
    "level": "_ObservableUpDownCounter",
    "histogram": "_Histogram",
}


class SdkMovedError(Exception):
    """OpenTelemetry's SDK no longer has a name that the relay needs."""


def check() -> None:
    """Try everything in this module on a provider made for it.

    Raises SdkMovedError, which names the failures.
    """
    try:
        _rehearse()
    except Exception as error:
        raise SdkMovedError(f"{type(error).__name__}: {error}") from error


def _rehearse() -> None:
    heard: list[bool] = []
    asked: list[MetricsData | None] = []
    told: list[str] = []
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False)
    meter = provider.get_meter("otel_celery.rehearsal")
    counter = meter.create_counter("rehearsal")
    renew(provider)

    def hear() -> bool:
        heard.append(True)
        return True

    on_use(provider, hear)

    def blend(_: MetricReader, data: MetricsData | None) -> MetricsData | None:
        asked.append(data)
        return data

    blend_into(provider, blend, told.append)
    fresh = InMemoryMetricReader()
    provider.add_metric_reader(fresh)
    aside = InMemoryMetricReader()
    provider.add_metric_reader(aside)
    collect_apart_for(provider, aside, told.append)
    counter.add(1)
    counter.add(1)
    meter.create_observable_gauge("rehearsal.gauge", [lambda _: [Observation(3)]])
    facts = {
        "what is recorded is collected": _values(fresh.get_metrics_data()) == [2, 3],
        "a collection can be added to": len(asked) == 1,
        "instruments can be collected apart": _values(aside.get_metrics_data()) == [2, 3] and not told,
        "the first measurement alone is heard of": len(heard) == 3,  # noqa: PLR2004  see on_use
        "an inherited reader is silent": reader.get_metrics_data() is None,
        "observable instruments are known": observes(provider),
        "a reader's temporality is known": all(not is_delta(reader, kind) for kind in _CLASSES),
        "the resource is known": bool(resource(provider).attributes),
        "proxies can be bound": callable(type(api._PROXY_METER_PROVIDER).on_set_meter_provider),
        "a proxy knows what it is bound to": hasattr(api._PROXY_METER_PROVIDER, "_real_meter_provider"),
    }
    failed = [fact for fact, holds in facts.items() if not holds]
    if failed:
        raise LookupError("; ".join(failed))


def _values(data: MetricsData | None) -> list[Any]:
    """List the values of a collection."""
    scopes = data.resource_metrics[0].scope_metrics if data is not None else ()
    points: list[Any] = [point for scope in scopes for metric in scope.metrics for point in metric.data.data_points]
    return [point.value for point in points]


def bind(provider: MeterProvider) -> None:
    """Make instruments that were created before any provider was set record with this one.

    ``set_meter_provider`` would do so too, but it works once a process, and that once is the application's.
    """
    type(api._PROXY_METER_PROVIDER).on_set_meter_provider(api._PROXY_METER_PROVIDER, provider)


def unbind(provider: MeterProvider, heir: MeterProvider | None) -> None:
    """Stop new meters from coming from this provider, and make instruments record with its heir.

    Without an heir instruments keep their provider. A provider that the application has set meanwhile stays.
    """
    if api._PROXY_METER_PROVIDER._real_meter_provider is provider:
        api._PROXY_METER_PROVIDER._real_meter_provider = None
        if heir is not None:
            bind(heir)


def on_set(heard: Callable[[Any], None] | None) -> None:
    """Call ``heard`` with each provider that the application sets from now on; None ends this."""
    proxy: Any = api._PROXY_METER_PROVIDER
    proxy.__dict__.pop("on_set_meter_provider", None)
    if heard is None:
        return

    def on_set_meter_provider(provider: Any) -> None:
        type(proxy).on_set_meter_provider(proxy, provider)
        heard(provider)

    proxy.on_set_meter_provider = on_set_meter_provider


def renew(provider: MeterProvider) -> None:
    """Reset a provider that a child inherited: free locks, none of the main process's values, and silent readers.

    A reader that went on would export the main process's values a second time. For the same reason observable
    instruments made before the fork are left to the main process. The SDK itself renews the provider's own locks.
    """
    consumer = _consumer(provider)
    _free(consumer, "_lock")
    for reader in {*consumer._reader_storages, *provider._metric_readers}:
        reader._set_collect_callback(_nothing)
    consumer._reader_storages = {}
    consumer._async_instruments.clear()
    for name in ("consume_measurement", "register_asynchronous_instrument", "collect"):
        consumer.__dict__.pop(name, None)
    for meter in provider._meters.values():
        _free(meter, "_instrument_registration_lock", "_instrument_ids_lock")


def renew_proxies() -> None:
    """Give a forked child free locks around the API's proxies: another thread may have held them at the fork."""
    proxy = api._PROXY_METER_PROVIDER
    _free(proxy, "_lock")
    for meter in proxy._meters:
        _free(meter, "_lock", "_instrument_ids_lock")


def on_use(provider: MeterProvider, heard: Callable[[], bool]) -> None:
    """Call ``heard`` before the next measurement, or the next observable instrument, until it returns True.

    Every instrument, whenever it was made, reaches its provider through one of two methods. An attribute of the object
    overrides each method until ``heard`` has returned True. So there is no cost before, and none afterwards.

    ``heard`` is called three times. The first call comes while the attributes are set: if a signal's handler interrupts
    it, the next measurement calls it again. The second comes after their removal, since they may have been set and
    removed in between. The third comes once the measurement is recorded, since a collection may have been quicker.
    """
    consumer = _consumer(provider)
    names = ("consume_measurement", "register_asynchronous_instrument")

    def stands_in_for(name: str) -> Callable[[Any], None]:
        method = getattr(type(consumer), name)

        def first(argument: Any) -> None:
            if heard():
                for each in names:
                    consumer.__dict__.pop(each, None)
                heard()
            method(consumer, argument)
            heard()

        return first

    for name in names:
        setattr(consumer, name, stands_in_for(name))


def collect_apart(provider: MeterProvider, failed: Failed) -> None:
    """Collect each instrument of a provider separately, so that none can end a collection; later readers included.

    ``failed`` is called with the name of an instrument that lost a value.
    """
    consumer = _consumer(provider)
    _set_collect(consumer, Collector(consumer, failed, KEPT))


def collect_apart_for(provider: MeterProvider, reader: MetricReader, failed: Failed) -> None:
    """Collect separately for one reader, on a thread of ours.

    No signal reaches that thread, so that even a SystemExit comes from an application's object, and is kept.
    """
    consumer = _consumer(provider)
    reader._set_collect_callback(Collector(consumer, failed, BaseException))


def observes(provider: MeterProvider) -> bool:
    """Tell whether the provider has an observable instrument."""
    return bool(_consumer(provider)._async_instruments)


def blend_into(provider: MeterProvider, blend: Blend, failed: Failed) -> None:
    """Pass each collection of a provider's readers through ``blend``; later readers included.

    Each instrument is collected separately; ``failed`` is called with the name of one that lost a value.
    """
    consumer = _consumer(provider)
    original = Collector(consumer, failed, KEPT)

    def collect(reader: MetricReader, timeout_millis: float = 10_000) -> MetricsData | None:
        return blend(reader, original(reader, timeout_millis))

    _set_collect(consumer, collect)


def _set_collect(consumer: Any, collect: Callable[..., Any]) -> None:
    consumer.collect = collect
    for reader in consumer._reader_storages:
        reader._set_collect_callback(collect)


def is_delta(reader: MetricReader, kind: str) -> bool:
    """Tell whether a reader has delta temporality for this kind of instrument."""
    name = _CLASSES.get(kind)
    if name is None:
        return False  # a gauge has no delta
    return reader._instrument_class_temporality[getattr(sdk, name)] is AggregationTemporality.DELTA


def resource(provider: MeterProvider) -> Resource:
    """Return the provider's resource."""
    return provider._sdk_config.resource


def _free(owner: Any, *names: str) -> None:
    """Replace these locks of an object by free ones; raises AttributeError if a name has moved."""
    for name in names:
        getattr(owner, name)
        setattr(owner, name, threading.Lock())


def _consumer(provider: MeterProvider) -> Any:
    return provider._measurement_consumer


def _nothing(*_: Any, **__: Any) -> None:
    """Collect nothing: the callback of a reader that a child inherited."""
