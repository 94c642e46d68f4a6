"""A pool's child that was spawned and so inherited nothing: what its tasks record is sent to the main process.

It is apart from the session, whose imports a child need not wait for: Celery kills one that takes four seconds to start
(``worker_proc_alive_timeout``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from celery import signals
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider

from otel_celery.forks import gate
from otel_celery.record.views import views
from otel_celery.relay.child import child

if TYPE_CHECKING:
    from otel_celery.settings.settings import Settings


def enter(settings: Settings) -> None:
    """Have what tasks record here sent, if a main process of ours has spawned this one; elsewhere nothing happens."""
    length = settings.bounds.label_length
    if child.enter_spawned(os.environ, _provider, length, gate()):
        signals.worker_process_shutdown.connect(say_goodbye, weak=False)


def _provider() -> MeterProvider:
    """Make one without exemplars, which are not sent to the main process."""
    return MeterProvider(exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False, views=views())


def say_goodbye(**_: object) -> None:
    """Hear ``worker_process_shutdown``: send the last values of this process, if it is a child."""
    child.say_goodbye()
