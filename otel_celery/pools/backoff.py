"""The wait before a worker that died is started again."""

from __future__ import annotations

FIRST = 1.0
"""Seconds of the first wait."""
LONGEST = 30.0
"""Seconds of the longest wait."""
SETTLED = 60.0
"""Seconds of life after which a worker had started well, so that the wait begins with FIRST again."""


class Backoff:
    """Doubles the wait with each death, from FIRST to LONGEST seconds."""

    def __init__(self) -> None:
        """Begin with the shortest wait."""
        self._next = FIRST

    def after(self, lived: float) -> float:
        """Return the seconds to wait after the death of a worker that lived for ``lived`` seconds."""
        if lived >= SETTLED:
            self._next = FIRST
        wait, self._next = self._next, min(2 * self._next, LONGEST)
        return wait
