"""Every value with every instrument, and in every place of a label; without an app, so that a test may import it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation

from tests.integration.relay.hostile import MAKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.metrics import Meter

PLACES = ("value", "key", "sequence", "mapping")
SYNCHRONOUS = ("counter", "updown", "gauge", "histogram")
OBSERVABLE = ("seen", "held", "heat")


def cells(meter: Meter) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Give each cell of the table: its name, and what records it."""
    for name, (make, _) in MAKERS.items():
        for kind in SYNCHRONOUS + OBSERVABLE:
            yield f"v.{kind}.{name}", partial(_record, meter, kind, name, make)
        for place in PLACES:
            yield f"l.{place}.{name}", partial(_label, meter, place, name, make)


def _record(meter: Meter, kind: str, name: str, make: Callable[[], Any]) -> None:
    called = f"v.{kind}.{name}"
    if kind == "counter":
        meter.create_counter(called).add(make())
    elif kind == "updown":
        meter.create_up_down_counter(called).add(make())
    elif kind == "gauge":
        meter.create_gauge(called).set(make())
    elif kind == "histogram":
        meter.create_histogram(called, explicit_bucket_boundaries_advisory=[1.0, 10.0]).record(make())
    else:
        creates = (meter.create_observable_counter, meter.create_observable_up_down_counter)
        create = dict(zip(OBSERVABLE, (*creates, meter.create_observable_gauge), strict=True))[kind]
        create(called, [lambda _: [Observation(make())]])


def _label(meter: Meter, place: str, name: str, make: Callable[[], Any]) -> None:
    value = make()
    attributes: dict[Any, Any] = {"case": name}
    if place == "value":
        attributes["it"] = value
    elif place == "key":
        attributes[value] = "it"
    else:
        attributes["it"] = [value, 1] if place == "sequence" else {"k": value}
    meter.create_counter(f"l.{place}").add(1, attributes)


def play(meter: Meter) -> dict[str, str]:
    """Record all of it, and tell by cell what was raised to whoever recorded it."""
    raised: dict[str, str] = {}
    for cell, record in cells(meter):
        try:
            record()
        except Exception as error:  # noqa: BLE001  whatever the SDK says to such a value
            raised[cell] = type(error).__name__
    return raised
