"""A MeterProvider that pushes what a process publishes, for a process whose application has none.

It is not made the global one, and it has no metric of the process itself: such a process is the application's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_celery.catalogue import SCOPE
from otel_celery.ending import PUBLISHER_SECONDS
from otel_celery.record.foreign import ForeignMetrics
from otel_celery.record.metering import limits
from otel_celery.record.producers import Producers
from otel_celery.record.pushers import Pushers
from otel_celery.record.refusals import Refusals
from otel_celery.record.resource import of_process
from otel_celery.record.views import views
from otel_celery.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics.export import ScopeMetrics

    from otel_celery.record.pusher import Hold
    from otel_celery.settings.settings import Settings


class Nothing:
    """A producer without metrics; implements ``producers.Producer``."""

    def __init__(self, **_: object) -> None:
        """Ignore for which reader it is made."""

    def produce(self, now: int) -> Iterable[ScopeMetrics]:
        """Produce nothing."""
        del now
        return ()


class PublisherPush:
    """The provider of a process that only publishes, and the threads that push from it."""

    def __init__(self, settings: Settings, service: str) -> None:
        """Import nothing yet; ``service`` is used if the environment names none."""
        if settings.push is None:
            raise ValueError("nothing is to be pushed")
        self._provider = MeterProvider(
            resource=of_process(service),
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
            views=views(),
        )
        self._label_length = settings.bounds.label_length
        self._limits = limits(settings.bounds)
        self.problems: list[str] = []
        """Sentences about exporters that cannot be loaded or made; the others push."""
        self.pushers = Pushers(settings.push)
        self.pushers.failed = self.problems.append

    def start(self, hold: Hold) -> None:
        """Push from now on; ``hold`` keeps forks waiting while metrics are collected."""
        refused = Refusals(lambda _reason, _number: None)

        def foreign() -> ForeignMetrics:
            return ForeignMetrics(InstrumentationScope(SCOPE, __version__), self._label_length, refused)

        self.pushers.start(self._provider, self._limits, (Producers(), Nothing), hold, (foreign, refused))

    def meter(self) -> Meter:
        """Return the meter to record with."""
        return self._provider.get_meter(SCOPE, __version__)

    def finish(self) -> None:
        """Push the last values, and wait for them for PUBLISHER_SECONDS at most."""
        self.pushers.finish(time.monotonic() + PUBLISHER_SECONDS)
        self.pushers.close()
