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
from bisect import bisect_right
from collections import deque
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.context import get_current
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    ScopeMetrics,
)

from otel_celery.forks import Home
from otel_celery.native import original

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram as Instrument
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from otel_celery import catalogue

    _Observation = tuple[Instrument, float, Mapping[str, str], Context]


MANY = 100
"""Observations that are counted at once: the more, the less each of them costs."""


class Recorder(Protocol):
    """Records the observations of one series."""

    def note(self, value: float, /) -> object:
        """As :meth:`record`, for a caller that runs for each task, and that calls :meth:`count` now and then."""

    def record(self, value: float) -> None:
        """Record one observation, in the metric's unit; any thread may call it."""

    def count(self) -> int:
        """Count the observations so far."""


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

    note = record

    def count(self) -> int:
        """Return 0."""
        return 0


UNRECORDED = Unrecorded()


class Tally:
    """Counts the observations of one series, many at a time.

    A list takes a value in one step of the interpreter, so that no lock is needed for each; to find each value's bucket
    at once, under a lock, would cost ten times that.
    """

    __slots__ = ("_lock", "_noted", "_number", "attributes", "bounds", "counts", "note", "total")

    def __init__(self, bounds: Sequence[float], attributes: Mapping[str, str]) -> None:
        """Begin at zero; ``bounds`` are inclusive upper bounds, as in both OpenTelemetry and Prometheus."""
        self.bounds = bounds
        self.attributes = attributes
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._number = 0
        self._noted: list[float] = []
        self.note: Callable[[float], object] = self._noted.append
        # A scrape's thread takes it too, so it must not be one that gevent or eventlet have made for greenlets alone.
        self._lock = original("_thread", "allocate_lock")()

    def record(self, value: float) -> None:
        """Note one observation, and count those that have been noted once there are many."""
        self._noted.append(value)
        # Another thread may be counting, or this one, if a signal's handler has interrupted it and comes here.
        if len(self._noted) >= MANY and self._lock.acquire(blocking=False):
            try:
                self._take()
            finally:
                self._lock.release()

    def count(self) -> int:
        """Count the observations so far."""
        if self._noted:
            with self._lock:
                self._take()
        return self._number

    def read(self) -> tuple[list[int], float]:
        """Return the observations so far: a copy of the counts of the buckets, and the total."""
        with self._lock:
            if self._noted:
                self._take()
            return list(self.counts), self.total

    def _take(self) -> None:
        """Count what has been noted; more may be noted meanwhile, at the end of the list."""
        noted = self._noted[:]
        del self._noted[: len(noted)]
        self.total = reduce(add, noted, self.total)  # sum() adds otherwise from Python 3.12 on, and not as the SDK
        noted.sort()
        above = 0
        for place, bound in enumerate(self.bounds):
            below, above = above, bisect_right(noted, bound, above)
            self.counts[place] += above - below
        self.counts[-1] += len(noted) - above
        self._number += len(noted)


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
        self._home = Home()

    def series(self, metric: catalogue.Metric, attributes: Mapping[str, str]) -> Tally:
        """Open one series."""
        tally = Tally(self._bounds, attributes)
        self._tallies.setdefault(metric, []).append(tally)
        return tally

    def produce(self, now: int) -> Iterator[ScopeMetrics]:
        """Yield the SDK's metrics of all series that have observations; ``now`` is in nanoseconds since the epoch.

        A forked child has a copy of the tallies, and yields nothing.
        """
        if not self._home.is_here:
            return
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
        counts, total = tally.read()
        unknown: Any = None  # optional in OTLP, and not worth its cost on the hot path
        return HistogramDataPoint(
            attributes=tally.attributes,
            start_time_unix_nano=self._started_at,
            time_unix_nano=now,
            count=sum(counts),
            sum=total,
            bucket_counts=counts,
            explicit_bounds=self._bounds,
            min=unknown,
            max=unknown,
        )


class _Series:
    __slots__ = ("_attributes", "_instrument", "_lock", "_number", "_record", "note")

    def __init__(
        self, instrument: Instrument, attributes: Mapping[str, str], record: Callable[[_Observation], None]
    ) -> None:
        self._instrument = instrument
        self._attributes = attributes
        self._record = record
        self._lock = threading.RLock()
        self._number = 0
        self.note = self.record

    def record(self, value: float) -> None:
        with self._lock:
            self._number += 1
        self._record((self._instrument, value, self._attributes, get_current()))

    def count(self) -> int:
        return self._number


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
    __slots__ = ("_one", "_other", "note")

    def __init__(self, one: Recorder, other: Recorder) -> None:
        self._one = one
        self._other = other
        self.note = self.record

    def record(self, value: float) -> None:
        self._one.record(value)
        self._other.record(value)

    def count(self) -> int:
        return self._one.count()


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
