"""The port and the push of a process that runs no worker, such as beat or the queue exporter.

It has all that a worker's port has: the settings of the environment, TLS, credentials and health, OTLP and the
console, ``process_*``, ``target_info``, a strict end, and metrics that a forked child neither serves nor pushes. Its
user needs neither OpenTelemetry nor prometheus_client::

    settings = read(os.environ, "celery-beat")             # None: a mistake, which has been said
    if settings is not None and settings.enabled:
        station = Station(settings, "celery-beat", health, Where.BEAT)
        lag = station.histogram(catalogue.BEAT_LAG, {"task_name": station.labels.task_name(name)})
        station.show({catalogue.BEAT_ENTRIES: lambda: [(len(entries), {})]})
        station.open()                                     # in the thread that may end a strict process
        guarded(station.errors, Where.BEAT, lag.record, 0.25)
        station.close()

``station.labels`` cleans and bounds label values, ``station.errors`` counts our own exceptions. Both are on the port as
``otel_celery_folded_total`` and ``otel_celery_internal_errors_total``.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_celery import catalogue
from otel_celery.ending import WORKER_SECONDS
from otel_celery.forks import Home, gate
from otel_celery.lifecycle import Where, guarded
from otel_celery.outward import Outward
from otel_celery.record.errors import Errors
from otel_celery.record.folding import Folding
from otel_celery.record.labels import MAX_ASKED_QUEUES, Labels
from otel_celery.record.meter_sink import MeterSink
from otel_celery.record.metering import Metering
from otel_celery.record.publishes import Publishes
from otel_celery.record.resource import of_process
from otel_celery.record.showing import lasting
from otel_celery.saying import say
from otel_celery.settings import settings as environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.catalogue import Metric
    from otel_celery.lifecycle import Loss
    from otel_celery.observers import Reading
    from otel_celery.record.histograms import Recorder
    from otel_celery.serve.health import Health
    from otel_celery.settings.settings import Settings


def read(environ: Mapping[str, str], name: str) -> Settings | None:
    """Read the settings; say what is wrong with them, and return None, in which case the process runs on without us.

    Raises SystemExit in a strict environment with a mistake.
    """
    try:
        return environment.read(environ)
    except environment.SettingsError as error:
        is_strict = environment.is_strict(environ)
        say(logging.ERROR, f"{error}{environment.ends('process') if is_strict else f'; metrics of {name} are off'}")
        if is_strict:
            raise SystemExit(environment.EX_CONFIG) from error
        return None


class Station:
    """The metrics of one process without a worker, on its port and pushed; make it once, and only where it is used."""

    def __init__(self, settings: Settings, name: str, health: Health, where: Where) -> None:
        """Make the provider; nothing is opened yet.

        ``name`` is what sentences call the process, and its service name where the environment has none. ``health``
        answers ``/-/healthy`` and ``/-/ready``, in the port's thread: it must not block. ``where`` is the place of the
        user's own errors, which stands at zero from the beginning.

        Raises RefusedError if OTEL_PYTHON_METER_PROVIDER names a provider that cannot be made.
        """
        self.errors = Errors("process", (where, Where.LEVELS, Where.PORT, Where.PUSH))
        """Counts exceptions of ours; for :func:`otel_celery.lifecycle.guarded`."""
        self._folding = Folding()
        self.labels = Labels(settings.bounds, self._folding, MAX_ASKED_QUEUES)
        """Cleans label values, and folds those beyond the bounds into ``other``."""
        self._dropped: dict[Loss, int] = {}
        self._settings = settings
        self._health = health
        self._metering = Metering(settings, of_process(name), self._lost)
        self._outward = Outward(name, self._metering, self.errors, strict=settings.strict, host="process")
        self._leaves: list[Callable[[], None]] = []
        self._home = Home()
        self._lock = threading.Lock()
        self._is_closing = self._is_closed = False
        began = time.time()
        self.show(
            {
                catalogue.START: lambda: [(began, {})],
                catalogue.INTERNAL_ERRORS: partial(_split, "where", self.errors.counts),
                catalogue.FOLDED: partial(_split, "what", self._folding.counts),
                catalogue.RELAY_DROPPED: partial(_split, "reason", self._dropped),
            }
        )

    @property
    def port(self) -> int | None:
        """The port's number, once it is open."""
        return self._outward.number

    def show(self, readings: Mapping[Metric, Reading]) -> None:
        """Show counters and gauges: each reading is called at each scrape and each push, and must not block.

        An exception of one costs its own metric, and is counted. The labels must be those of the catalogue.
        """
        self._leaves.append(self._metering.readings.show(lasting(readings), self.errors, lambda: self._is_closed))

    def histogram(self, metric: Metric, attributes: Mapping[str, str]) -> Recorder:
        """Open one series of a histogram: ``record`` is for one thread; make it once for each set of labels."""
        return self._metering.histograms.series(metric, attributes)

    def publishes(self) -> Publishes:
        """Count what this process publishes, on its port and pushed; make it once."""
        self.errors.expect(Where.PUBLISH)
        return Publishes(
            MeterSink(self._metering.meter, self._settings.buckets),
            self._settings.bounds,
            home=self._home,
            folded=self._folding,
            swallowed=partial(self.errors.swallowed, Where.PUBLISH),
        )

    def open(self) -> None:
        """Say what is wrong with the environment, open the port, or try again until it is free, and begin to push.

        Call it in the process that is to be served, after it was forked or daemonised, once logging is set up.

        Raises SystemExit (78) in a strict environment: for a taken port, TLS files or an exporter that cannot be used.
        """
        gate().use()
        atexit.register(self.close)
        for warning in self._settings.warnings:
            say(logging.WARNING, warning)
        if self._settings.port is not None:
            self._outward.serve(self._settings.port, self._health)
        self._outward.push()

    def close(self) -> None:
        """Push the last values and close the port, in at most the time of a worker's end; never raises.

        Does nothing a second time, or in a forked child.
        """
        until = time.monotonic() + WORKER_SECONDS
        if not self._home.is_here:
            return
        with self._lock:
            if self._is_closing:
                return
            self._is_closing = True
        atexit.unregister(self.close)
        self._outward.flush(until)
        self._outward.close()
        guarded(self.errors, Where.PORT, self._take_off)

    def _take_off(self) -> None:
        self._is_closed = True
        for leave in self._leaves:
            leave()
        self._metering.close()

    def _lost(self, reason: Loss, number: int) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + number


def _split(label: str, counts: Mapping[Any, int]) -> list[tuple[float, Mapping[str, str]]]:
    return [(number, {label: value.value if isinstance(value, Enum) else value}) for value, number in [*counts.items()]]
