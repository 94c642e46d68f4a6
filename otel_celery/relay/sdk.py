"""The private names of OpenTelemetry that the relay needs, and :func:`check`, which says whether they still stand.

The SDK has no public way to do any of this: to know of a provider's first measurement, to give a forked child locks
of its own, or to hand a reader what did not come through an instrument (the specification's MetricProducer). Where a
release moves one of these names the relay switches itself off with one sentence, and no task notices.
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
"""What an application's callback may raise on the thread of the port, or of whoever else collects, and not end it."""

_CLASSES = {
    "counter": "_Counter",
    "up_down": "_UpDownCounter",
    "level": "_ObservableUpDownCounter",
    "histogram": "_Histogram",
}


class SdkMovedError(Exception):
    """OpenTelemetry's SDK no longer has a name that the relay needs."""


def check() -> None:
    """See, on a provider of its own, that everything here works.

    Raises SdkMovedError with what did not.
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
    """Have instruments that were made before any provider was set record with this one.

    ``set_meter_provider`` would do so too, but it works once a process, and that once is the application's.
    """
    type(api._PROXY_METER_PROVIDER).on_set_meter_provider(api._PROXY_METER_PROVIDER, provider)


def unbind(provider: MeterProvider, heir: MeterProvider | None) -> None:
    """Have new meters no longer come from this provider, and instruments record with its heir.

    Without an heir instruments keep what they have. Where the application has set a provider meanwhile, it stays.
    """
    if api._PROXY_METER_PROVIDER._real_meter_provider is provider:
        api._PROXY_METER_PROVIDER._real_meter_provider = None
        if heir is not None:
            bind(heir)


def on_set(heard: Callable[[Any], None] | None) -> None:
    """Hear of each provider that the application sets from now on; None ends it."""
    proxy: Any = api._PROXY_METER_PROVIDER
    proxy.__dict__.pop("on_set_meter_provider", None)
    if heard is None:
        return

    def on_set_meter_provider(provider: Any) -> None:
        type(proxy).on_set_meter_provider(proxy, provider)
        heard(provider)

    proxy.on_set_meter_provider = on_set_meter_provider


def renew(provider: MeterProvider) -> None:
    """Make an inherited provider a child's own: free locks, nothing of what the main process recorded, silent readers.

    A reader that went on would export the main process's values a second time. Observable instruments made before
    the fork are left to the main process for the same reason. The provider's own locks the SDK renews itself.
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
    """Give a forked child free locks around the proxies, whoever held them."""
    proxy = api._PROXY_METER_PROVIDER
    _free(proxy, "_lock")
    for meter in proxy._meters:
        _free(meter, "_lock", "_instrument_ids_lock")


def on_use(provider: MeterProvider, heard: Callable[[], bool]) -> None:
    """Hear of the next measurement, or the next observable instrument, before it is recorded, until ``heard`` says yes.

    Every instrument, whenever it was made, reaches its provider through these two methods, and an attribute of the
    object stands in front of its class's method. It costs nothing before, and nothing after.

    It is heard three times: first while the attributes stand, so that the next measurement is heard where a signal's
    handler interrupts this one; once they are gone, since others may have been set and taken away meanwhile; and once
    it is recorded, since whoever collects may have been quicker.
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
    """Have no single instrument end the collections of a provider's readers, those that it gets later among them.

    ``failed`` hears the name of an instrument that lost something.
    """
    consumer = _consumer(provider)
    _set_collect(consumer, Collector(consumer, failed, KEPT))


def collect_apart_for(provider: MeterProvider, reader: MetricReader, failed: Failed) -> None:
    """Do so for one reader, on a thread of ours: there even a SystemExit is an application's object's."""
    consumer = _consumer(provider)
    reader._set_collect_callback(Collector(consumer, failed, BaseException))


def observes(provider: MeterProvider) -> bool:
    """Tell whether there is any observable instrument to read."""
    return bool(_consumer(provider)._async_instruments)


def blend_into(provider: MeterProvider, blend: Blend, failed: Failed) -> None:
    """Have each reader of a provider, and each that it gets later, receive what ``blend`` makes of its collection.

    Each instrument is collected apart; ``failed`` hears the name of one that lost something.
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
    """Tell whether a reader wants what changed since it last asked, for this kind of instrument."""
    name = _CLASSES.get(kind)
    if name is None:
        return False  # a gauge has no changes
    return reader._instrument_class_temporality[getattr(sdk, name)] is AggregationTemporality.DELTA


def resource(provider: MeterProvider) -> Resource:
    """Give what the provider's metrics pertain to."""
    return provider._sdk_config.resource


def _free(owner: Any, *names: str) -> None:
    """Have these locks of an object be free; one that it has not is a name that has moved."""
    for name in names:
        getattr(owner, name)
        setattr(owner, name, threading.Lock())


def _consumer(provider: MeterProvider) -> Any:
    return provider._measurement_consumer


def _nothing(*_: Any, **__: Any) -> None:
    """Collect nothing, in a reader that a child inherited."""
