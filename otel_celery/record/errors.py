"""Exceptions of ours that were kept from the host: counted by place, and the first of each class is logged."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from otel_celery.lifecycle import Where

if TYPE_CHECKING:
    from collections.abc import Iterable

OF_OTHERS = (Where.QUEUES, Where.BEAT)
"""The places of other processes; a worker may have the first, where it is asked for."""
OF_A_WORKER = tuple(where for where in Where if where not in OF_OTHERS)
"""The places that every worker has."""

logger = logging.getLogger("otel_celery")


class Errors:
    """The swallowed exceptions of one worker, or of one other process; implements ``lifecycle.ErrorObserver``.

    The lock is reentrant, as those of the tallies are: a signal handler may report while the main thread does.
    """

    def __init__(self, host: str = "worker", places: Iterable[Where] = OF_A_WORKER) -> None:
        """Begin at zero for ``places``; ``host`` says in the log from what the exceptions are kept."""
        self.counts = dict.fromkeys(places, 0)
        self._host = host
        self._said: set[tuple[Where, int]] = set()
        self._lock = threading.RLock()

    def expect(self, where: Where) -> None:
        """Have one more place stand at zero."""
        self.counts.setdefault(where, 0)

    def swallowed(self, where: Where, error: Exception | SystemExit) -> None:
        """Count an exception, and log the first of its class in this place."""
        with self._lock:
            self.counts[where] = self.counts.get(where, 0) + 1
            known = where, id(type(error))  # a class may not be hashable
            is_new = known not in self._said
            self._said.add(known)
        if is_new:
            with suppress(Exception):  # a user's exception may raise when it is written, and a user's log handler too
                logger.error(
                    "otel-celery: an error of its own (%s) was kept from the %s; some metrics may be missing. "
                    "It is logged once; otel_celery_internal_errors_total counts on.",
                    where.value,
                    self._host,
                    exc_info=error,
                )
