"""Collect each of the SDK's instruments separately, so that no single one can end a collection.

In the SDK's own collection an observed value that cannot be hashed or added ends this collection and all later ones. So
does a callback that takes ten seconds, and a ``Decimal`` that is added to a float. No scrape would succeed any more,
and no child could send its metrics. :mod:`otel_celery.relay.sdk` tests the private names that this needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import CallbackOptions

from otel_celery import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    Failed = Callable[[str], None]
    """Called with the name of an instrument that lost a value."""


NUMBERS = {int, float}


class Collector:
    """The callback by which the readers of one measurement consumer collect; it has no deadline."""

    def __init__(
        self, consumer: Any, failed: Failed, kept: type[BaseException] | tuple[type[BaseException], ...]
    ) -> None:
        """``failed`` is called for an instrument that raises; exceptions of the classes ``kept`` end no collection."""
        self._consumer = consumer
        self._failed = failed
        self._kept = kept

    def __call__(self, reader: Any, timeout_millis: float = 10_000) -> Any:
        """Collect for this reader."""
        del timeout_millis
        with self._consumer._lock:
            storage = self._consumer._reader_storages[reader]
            for instrument in self._consumer._async_instruments:
                self._observe(storage, instrument)
            for matches in list(storage._instrument_view_instrument_matches.values()):
                for match in matches:
                    self._guard(match)
            return storage.collect()

    def _observe(self, storage: Any, instrument: Any) -> None:
        is_sampled = self._consumer._sdk_config.exemplar_filter.should_sample
        try:
            for it in instrument.callback(CallbackOptions()):
                try:
                    measured = it if type(it.value) in NUMBERS else _plain(it)
                    sampled = is_sampled(measured.value, measured.time_unix_nano, measured.attributes, measured.context)
                    storage.consume_measurement(measured, sampled)
                except self._kept:
                    self._failed(instrument.name)
        except self._kept:
            self._failed(instrument.name)

    def _guard(self, match: Any) -> None:
        """Leave out a stream that cannot be collected, instead of every other one."""
        if "collect" in match.__dict__:
            return
        original = match.collect

        def collect(*arguments: Any) -> Any:
            try:
                return original(*arguments)
            except self._kept:
                self._failed(match._instrument.name)
                return None

        match.collect = collect


def _plain(measurement: Any) -> Any:
    """Make a value plain before it is aggregated: if the addition fails there, the SDK shows a zero."""
    return replace(measurement, value=plain.number(measurement.value))
