"""Label values that were folded into ``other``: counted by label, and each label's first one is logged."""

from __future__ import annotations

import logging
import threading

from otel_celery.lifecycle import OTHER

FOLDED = ("task_name", "exception", "queue")
"""The labels whose values are bounded in number."""

logger = logging.getLogger("otel_celery")


class Folding:
    """Counts folded values; the lock is reentrant, as those of the tallies are."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.counts = dict.fromkeys(FOLDED, 0)
        self._said: set[str] = set()
        self._lock = threading.RLock()

    def __call__(self, what: str) -> None:
        """Count one value of the label ``what``."""
        with self._lock:
            self.counts[what] += 1
            is_new = what not in self._said
            self._said.add(what)
        if is_new:
            logger.warning(
                "otel-celery: too many different values of %s: further ones are counted as %r "
                "(see the OTEL_PYTHON_CELERY_MAX_* settings)",
                what,
                OTHER,
            )
