"""What one app publishes, in any process: the function in front of it, and where its metrics are recorded.

A process that is no worker decides at its first publish. By then the application has set up its own metrics, if it
wants any, and a server that forks has forked. A worker hands over an observer of its own while it lives.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from otel_celery import native
from otel_celery.catalogue import SCOPE
from otel_celery.forks import after_each_fork, gate
from otel_celery.masking import reason
from otel_celery.publish.front import Front
from otel_celery.saying import say
from otel_celery.settings import settings as environment
from otel_celery.settings import variables
from otel_celery.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.metrics import Meter

    from otel_celery.observers import PublishObserver
    from otel_celery.record.publisher_push import PublisherPush
    from otel_celery.record.publishes import Sink
    from otel_celery.settings.settings import Settings


MAX_EARLY = 1_000
"""Publishes at most that are kept while it is decided where they are recorded."""


def for_app(app: Any, environ: Mapping[str, str]) -> Publishing | None:
    """Stamp and report what an app publishes from now on; return None where nothing is to be installed."""
    has_header = environment.sends_header(environ)
    if has_header is None:
        return None
    made = Publishing(app, has_header=has_header)
    made.front.install()
    return made


class Publishing:
    """What one app publishes in this process."""

    def __init__(self, app: Any, *, has_header: bool) -> None:
        """Prepare; nothing of OpenTelemetry is imported or made before the first publish."""
        self.plain = PlainPublisher(str(app.main or "celery"))
        self.front = Front(app, self.plain, has_header=has_header)

    def publish_to(self, registry: Any) -> None:
        """Keep the metrics of a process that is no worker in a registry of prometheus_client's."""
        self.plain.close()
        self.plain.registry = registry

    def hand_to(self, observer: PublishObserver) -> None:
        """Report to a worker's observer from now on: this process is a worker, or a child of its pool."""
        self.front.observer = observer
        self.plain.close()

    def take_back(self) -> None:
        """Report as a process that is no worker again, once its last worker is over."""
        self.front.observer = self.plain

    def uninstrument(self) -> None:
        """Leave messages alone, and push the last values."""
        self.front.remove()
        self.plain.close()


class Nobody:
    """Counts nothing, in a child that cannot reach its worker; implements ``observers.PublishObserver``."""

    def published(self, name: Any, queue: Any, seconds: float, exception: str | None) -> None:
        """Ignore it."""

    def swallowed(self, error: Exception) -> None:
        """Ignore it."""


NOBODY = Nobody()


def _has_provider() -> bool:
    """Tell whether the application has set a provider of its own; OpenTelemetry is not imported to find out.

    Until then the API hands out meters that stand for it, a new one each time: nothing is counted by them, and of what
    they show as gauges the provider will know the first alone.
    """
    ask = getattr(sys.modules.get("opentelemetry.metrics"), "get_meter_provider", None)
    return ask is not None and not type(ask()).__name__.startswith("_Proxy")


class PlainPublisher:
    """Decides at the first publish where the metrics are recorded; implements ``observers.PublishObserver``.

    Deciding takes a while, and says what is wrong. A handler of the log's, or of a signal, may publish meanwhile in the
    same thread, and another thread may hold the log's lock while it publishes. So nobody waits for the decision: what
    is published meanwhile is counted after it.
    """

    def __init__(self, service: str) -> None:
        """``service`` names the process where the environment does not."""
        self._service = service
        self.registry: Any = None
        """The application's registry of prometheus_client, if its metrics are to be there."""
        self._settings: Settings | None = None
        self._target: PublishObserver | None = None
        self._push: PublisherPush | None = None
        self._leave: Callable[[], None] | None = None
        self._inherited: list[object] = []
        """What a forked child must neither use nor destroy: a gRPC channel's destructor may hang there."""
        self._early: deque[tuple[Any, Any, float, str | None]] = deque(maxlen=MAX_EARLY)
        self._lost = 0
        self._deciding = threading.Lock()  # never waited for, so that it does for greenlets as well
        self._is_watching = self._has_failed = False

    def published(self, name: Any, queue: Any, seconds: float, exception: str | None) -> None:
        """Count one publish, if anybody wants to know."""
        target = self._target
        if target is not None:
            target.published(name, queue, seconds, exception)
        elif not self._has_failed and self._is_asked_for():
            self._lost += len(self._early) == MAX_EARLY  # then the oldest goes
            self._early.append((name, queue, seconds, exception))
            self._count_early()

    def swallowed(self, error: Exception) -> None:
        """Say, once, that publishes may not be counted."""
        if self._target is not None:
            self._target.swallowed(error)
        elif not self._has_failed:
            self._has_failed = True
            say(logging.ERROR, f"what this process publishes is not counted: {reason(error)}")

    def close(self) -> None:
        """Push the last values and decide anew at the next publish."""
        self._target, push, self._push = None, self._push, None
        atexit.unregister(self.close)
        leave, self._leave = self._leave, None
        if push is not None:
            push.finish()
        if leave is not None:
            leave()

    def _count_early(self) -> None:
        """Count what was published before it was decided where; whoever is deciding that counts it in time."""
        deciding = self._deciding  # a child that is forked meanwhile has another
        if not deciding.acquire(blocking=False):
            return
        try:
            target = self._target = self._target or self._decide()
        finally:
            deciding.release()
        while True:
            try:
                told = self._early.popleft()
            except IndexError:  # none is left, or another thread was faster
                break
            target.published(*told)
        lost, self._lost = self._lost, 0
        if lost:
            say(logging.WARNING, f"{lost} publishes are not counted: over {MAX_EARLY} came before it was decided where")

    def _is_asked_for(self) -> bool:
        """Tell whether there may be something to record with; OpenTelemetry is not imported to find out."""
        if self._settings is None:
            self._settings = environment.publisher(os.environ)
        return (
            self.registry is not None
            or self._settings.push is not None
            or variables.METER_PROVIDER.name in os.environ
            or _has_provider()
        )

    def _decide(self) -> PublishObserver:
        from otel_celery.record.publishes import Publishes  # noqa: PLC0415  only where metrics are asked for

        if not self._is_watching:
            self._is_watching = True
            after_each_fork(self._forked)
        settings = self._settings or environment.publisher(os.environ)
        return Publishes(self._sink(settings), settings.bounds)

    def _sink(self, settings: Settings) -> Sink:
        if self.registry is not None:
            from otel_celery.record.registry_sink import registry_sink  # noqa: PLC0415  as above

            return registry_sink(self.registry, settings.buckets)
        from opentelemetry import metrics  # noqa: PLC0415  as above

        from otel_celery.record.meter_sink import MeterSink  # noqa: PLC0415  as above

        meter = metrics.get_meter(SCOPE, __version__)
        if settings.push is not None:
            from otel_celery.record.metering import application_provider  # noqa: PLC0415  as above

            if application_provider() is None:
                meter = self._pushed(settings).meter()
        sink = MeterSink(meter, settings.buckets)
        self._show_beginning(meter)
        return sink

    def _show_beginning(self, meter: Meter) -> None:
        """Show since when this process counts; an application's meter that cannot show it counts all the same."""
        from otel_celery.record import beginning  # noqa: PLC0415  needs OpenTelemetry, which is imported by now

        try:
            self._leave = beginning.show(meter)
        except Exception as error:  # noqa: BLE001  a meter that is not the SDK's may refuse anything
            say(logging.WARNING, f"since when this process counts what it publishes is not shown: {reason(error)}")

    def _pushed(self, settings: Settings) -> PublisherPush:
        from otel_celery.record.publisher_push import PublisherPush  # noqa: PLC0415  as above

        push = PublisherPush(settings, self._service)
        if push.pushers.has_grpc() and native.is_patched():
            push.pushers.leave_out_grpc()
            push.problems.append(
                "gRPC would stop all greenlets of this process while it waits; set "
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf (or OTEL_EXPORTER_OTLP_PROTOCOL)"
            )
        if native.stand_still():
            say(
                logging.WARNING,
                "uWSGI lets this process push what it publishes only while it answers a request, and at its end: start "
                "uWSGI with --enable-threads",
            )
        push.start(gate().hold)
        for problem in push.problems:
            say(logging.ERROR, f"what this process publishes is not pushed: {problem}")
        self._push = push
        atexit.register(self.close)
        return push

    def _forked(self) -> None:
        """Decide anew in a forked child: the parent's values are not its own, and no thread of the parent's runs."""
        self._inherited += [self._target, self._push]
        self._target = self._push = self._leave = None
        self._early.clear()
        self._lost = 0
        self._deciding = threading.Lock()
