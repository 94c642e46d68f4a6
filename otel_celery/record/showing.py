"""How counters and gauges reach our readers: read by the SDK's instruments, or handed over as points of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from otel_celery.forks import Home
from otel_celery.lifecycle import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.catalogue import Metric
    from otel_celery.observers import Reading
    from otel_celery.record.errors import Errors

    Guarded = Callable[[], list[tuple[float, Mapping[str, str]]]]


class Readings(Protocol):
    """Shows readings in every collection."""

    def show(
        self, readings: Mapping[Metric, Reading], errors: Errors, is_closed: Callable[[], bool]
    ) -> Callable[[], None]:
        """Show counters and gauges until they are closed; return a function that takes them off again.

        Readings of one metric must have different labels.
        """


class Lasting:
    """A reading with one object for equal labels: what is made of a series is kept by the identity of its labels."""

    def __init__(self, reading: Reading) -> None:
        """Read this."""
        self._reading = reading
        self._kept: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def __call__(self) -> list[tuple[float, Mapping[str, str]]]:
        """Read, and forget the labels that are no longer told."""
        before, now, told = self._kept, {}, []
        for value, labels in self._reading():
            key = tuple(labels.items())
            now[key] = kept = before.get(key, labels)
            told.append((value, kept))
        self._kept = now
        return told


def lasting(readings: Mapping[Metric, Reading]) -> dict[Metric, Reading]:
    """Have readings that make their labels anew each time tell them by lasting objects."""
    return {metric: Lasting(reading) for metric, reading in readings.items()}


def guarded(reading: Reading, errors: Errors, is_closed: Callable[[], bool]) -> Guarded:
    """Wrap a reading so that its failure costs its own metric, and never the scrape.

    A forked child inherits the counts, and an application's reader in it would export them a second time. So nothing
    is read there, nor once the counts are closed.
    """
    home = Home()

    def read() -> list[tuple[float, Mapping[str, str]]]:
        if is_closed() or not home.is_here:
            return []
        try:
            return list(reading())
        except (Exception, SystemExit) as error:  # noqa: BLE001  reported, and counted in a metric
            errors.swallowed(Where.LEVELS, error)
            return []

    return read
