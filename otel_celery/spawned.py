"""Send the metrics that tasks record in a spawned pool child to the worker's main process.

A spawned child inherits nothing, so it has to be set up anew. This module does not import the session, so that the
child starts fast: Celery kills one that takes four seconds to start (``worker_proc_alive_timeout``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from celery import signals
from opentelemetry import metrics
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider

from otel_celery.catalogue import SCOPE
from otel_celery.forks import gate
from otel_celery.record.meter_sink import MeterSink
from otel_celery.record.publishes import Publishes
from otel_celery.record.views import views
from otel_celery.relay.child import child
from otel_celery.version import __version__

if TYPE_CHECKING:
    from otel_celery.settings.settings import Settings


def enter(settings: Settings, worker: str) -> Publishes | None:
    """Begin to send metrics, if an instrumented main process has spawned this child; else do nothing.

    Returns what counts the messages that this child of ``worker`` publishes.
    """
    length = settings.bounds.label_length
    if not child.enter_spawned(os.environ, _provider, length, gate()):
        return None
    signals.worker_process_shutdown.connect(say_goodbye, weak=False)
    return Publishes(MeterSink(metrics.get_meter(SCOPE, __version__), settings.buckets), settings.bounds, worker)


def _provider() -> MeterProvider:
    """Make a MeterProvider without exemplars, which are not sent to the main process."""
    return MeterProvider(exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False, views=views())


def say_goodbye(**_: object) -> None:
    """Send the last values of this process, if it is a child; a handler of ``worker_process_shutdown``."""
    child.say_goodbye()
