"""Since when a process that only publishes counts, shown by the meter that it counts with.

What is pushed has no target, so that no ``up`` tells whether it was there a while ago. This gauge does, and says as
well whether a count that is seen for the first time is new. When the process started would not: a web server may be up
for days before its first message.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from otel_celery import catalogue
from otel_celery.record.errors import Errors
from otel_celery.record.observed import ObservedReadings

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Meter

    from otel_celery.observers import Reading

_began: WeakKeyDictionary[Meter, float] = WeakKeyDictionary()
"""When each meter was first counted with: its counters go on where several apps share it, and in a forked child."""


def show(meter: Meter) -> Callable[[], None]:
    """Show when this meter was first counted with, seconds since the epoch; return a function that ends it."""
    began = _began.setdefault(meter, time.time())
    shown: dict[catalogue.Metric, Reading] = {catalogue.START: lambda: [(began, {})]}
    return ObservedReadings(meter).show(shown, Errors("publisher", ()), lambda: False)
