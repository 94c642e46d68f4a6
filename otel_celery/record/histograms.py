"""Two ways to record a histogram, behind one small protocol: a tally of our own, or the SDK.

*Tally* is the default: bucket counts as plain integers, handed over when a reader collects. One synchronous record of
the SDK costs 74 000 instructions in the worker's main process, a tally a small part of that, and OpenTelemetry has no
observable histogram.

*SDK* records through ``Meter.create_histogram``. Everything that needs single values takes this way: an application's
own provider, its views, delta temporality, exponential buckets, exemplars.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Protocol

from opentelemetry.context import get_current
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    ScopeMetrics,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram as Instrument
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otel_celery import catalogue

    _Observation = tuple[Instrument, float, Mapping[str, str], Context]


class Recorder(Protocol):
    """Records the observations of one series."""

    def record(self, value: float) -> None:
        """Record one observation, in the metric's unit."""


class Histograms(Protocol):
    """Opens the series of histograms."""

    def series(self, metric: catalogue.Metric, attributes: Mapping[str, str]) -> Recorder:
        """Open one series; it is exported from its first observation on."""


class Unrecorded:
    """Records nothing, for counters that only stand at zero; implements ``Histograms`` and ``Recorder``."""

    def series(self, metric: catalogue.Metric, attributes: Mapping[str, str]) -> Unrecorded:
        """Return this recorder."""
        del metric, attributes
        return self

    def record(self, value: float) -> None:
        """Ignore the observation."""


UNRECORDED = Unrecorded()


class Tally:
    """Counts the observations of one series; the caller of :meth:`record` holds the lock of the task's counters."""

    __slots__ = ("attributes", "bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float], attributes: Mapping[str, str]) -> None:
        """Begin at zero; ``bounds`` are inclusive upper bounds, as in both OpenTelemetry and Prometheus."""
        self.bounds = bounds
        self.attributes = attributes
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def record(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class TallyHistograms:
    """Histograms as tallies, collected as the SDK's own data points; implements ``producers.Producer``."""

    def __init__(self, bounds: Sequence[float], scope: InstrumentationScope, started_at: int) -> None:
        """Begin without series.

        ``bounds`` are in the metrics' unit, ``scope`` is our meter's, and ``started_at`` is in nanoseconds since the
        epoch.
        """
        self._scope = scope
        self._bounds = bounds
        self._started_at = started_at
        self._tallies: dict[catalogue.Metric, list[Tally]] = {}

    def series(self, metric: catalogue.Metric, attributes: Mapping[str, str]) -> Tally:
        """Open one series."""
        tally = Tally(self._bounds, attributes)
        self._tallies.setdefault(metric, []).append(tally)
        return tally

    def produce(self, now: int) -> Iterator[ScopeMetrics]:
        """Yield the SDK's metrics of all series that have observations; ``now`` is in nanoseconds since the epoch."""
        collected = [made for metric in list(self._tallies) if (made := self._made(metric, now)) is not None]
        if collected:
            yield ScopeMetrics(self._scope, collected, self._scope.schema_url or "")

    def find(self, name: str) -> Metric | None:
        """Return the SDK's metric of this name; None if it has no observations."""
        found = next((metric for metric in list(self._tallies) if metric.name == name), None)
        return self._made(found, time.time_ns()) if found is not None else None

    def _made(self, metric: catalogue.Metric, now: int) -> Metric | None:
        points = [point for tally in list(self._tallies[metric]) if (point := self._point(tally, now)).count]
        if not points:
            return None
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
        return Metric(metric.name, metric.description, metric.unit, data)

    def _point(self, tally: Tally, now: int) -> HistogramDataPoint:
        counts, total = list(tally.counts), tally.total
        return HistogramDataPoint(
            attributes=tally.attributes,
            start_time_unix_nano=self._started_at,
            time_unix_nano=now,
            count=sum(counts),
            sum=total,
            bucket_counts=counts,
            explicit_bounds=self._bounds,
            # Optional in OTLP, and not worth their cost on the hot path.
            min=None,  # type: ignore[arg-type]
            max=None,  # type: ignore[arg-type]
        )


class _Series:
    __slots__ = ("_attributes", "_instrument", "_record")

    def __init__(
        self, instrument: Instrument, attributes: Mapping[str, str], record: Callable[[_Observation], None]
    ) -> None:
        self._instrument = instrument
        self._attributes = attributes
        self._record = record

    def record(self, value: float) -> None:
        self._record((self._instrument, value, self._attributes, get_current()))


class SdkHistograms:
    """Histograms recorded synchronously, one instrument of a Meter for each metric.

    A cold shutdown cancels requests inside the OS signal handler, at any line of the main thread. If that is a line of
    the SDK, whose locks are not reentrant, recording in the handler would deadlock. Such an observation is put aside,
    and recorded with the next one or by :meth:`settle`.
    """

    def __init__(self, meter: Meter, bounds: Sequence[float]) -> None:
        """``bounds`` are advisory: a view, or an exporter's preference for exponential buckets, overrides them."""
        self._meter = meter
        self._bounds = bounds
        self._instruments: dict[catalogue.Metric, Instrument] = {}
        self._recording: set[int] = set()
        self._aside: deque[_Observation] = deque()

    def series(self, metric: catalogue.Metric, attributes: Mapping[str, str]) -> Recorder:
        """Open one series."""
        if metric not in self._instruments:
            self._instruments[metric] = self._meter.create_histogram(
                metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=self._bounds
            )
        return _Series(self._instruments[metric], attributes, self._record)

    def settle(self) -> None:
        """Record the observations that were put aside; may be called from several threads at once."""
        me = threading.get_ident()
        if me not in self._recording:
            self._recording.add(me)  # a signal may arrive in here as well
            try:
                self._settle()
            finally:
                self._recording.discard(me)

    def _settle(self) -> None:
        while True:
            try:
                instrument, value, attributes, context = self._aside.popleft()
            except IndexError:  # empty, or another thread was faster
                return
            instrument.record(value, attributes, context)

    def _record(self, observation: _Observation) -> None:
        me = threading.get_ident()
        if me in self._recording:
            self._aside.append(observation)
            return
        self._recording.add(me)
        try:
            instrument, value, attributes, context = observation
            instrument.record(value, attributes, context)
            if self._aside:
                self._settle()
        finally:
            self._recording.discard(me)


class _Pair:
    __slots__ = ("_one", "_other")

    def __init__(self, one: Recorder, other: Recorder) -> None:
        self._one = one
        self._other = other

    def record(self, value: float) -> None:
        self._one.record(value)
        self._other.record(value)


class BothHistograms:
    """Histograms recorded by the SDK for an application's readers, and also tallied for our port.

    The port shows the tally where a view of the application's makes the SDK's histogram exponential.
    """

    def __init__(self, sdk: SdkHistograms, tallied: TallyHistograms) -> None:
        """Record with both."""
        self._sdk = sdk
        self._tallied = tallied

    def series(self, metric: catalogue.Metric, attributes: Mapping[str, str]) -> Recorder:
        """Open one series."""
        return _Pair(self._tallied.series(metric, attributes), self._sdk.series(metric, attributes))
