"""Readings shown by observable instruments of the SDK's: for an application's provider, and for delta temporality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import Observation

from otel_celery.catalogue import Kind
from otel_celery.record.showing import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.metrics import CallbackOptions, Meter

    from otel_celery.catalogue import Metric
    from otel_celery.observers import Reading
    from otel_celery.record.errors import Errors
    from otel_celery.record.showing import Guarded


_shown: WeakKeyDictionary[Meter, dict[str, list[Guarded]]] = WeakKeyDictionary()
"""What each instrument reads, by its meter and name: the SDK ignores the callbacks of a second one of that name."""


class ObservedReadings:
    """Creates observable instruments on a meter; implements ``showing.Readings``."""

    def __init__(self, meter: Meter) -> None:
        """Create nothing yet."""
        self._meter = meter

    def show(
        self, readings: Mapping[Metric, Reading], errors: Errors, is_closed: Callable[[], bool]
    ) -> Callable[[], None]:
        """Create instruments, or have those read more that an earlier owner has made.

        Returns a function that takes the readings off again: an application's meter outlives the worker.
        """
        known, joined = _shown.setdefault(self._meter, {}), []
        for metric, reading in readings.items():
            is_new, readers = metric.name not in known, known.setdefault(metric.name, [])
            read = guarded(reading, errors, is_closed)
            readers.append(read)
            joined.append((readers, read))
            if is_new:
                self._create(metric, readers)

        def leave() -> None:
            while joined:
                readers, read = joined.pop()
                readers.remove(read)

        return leave

    def _create(self, metric: Metric, readers: list[Guarded]) -> None:
        meter = self._meter
        is_counter = metric.kind is Kind.COUNTER
        create: Callable[..., Any] = meter.create_observable_counter if is_counter else meter.create_observable_gauge
        create(metric.name, [_observing(readers)], metric.unit, metric.description)


def _observing(readers: list[Guarded]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value, attributes) for read in list(readers) for value, attributes in read()]
