"""How long a pool that died waits before it is started again."""

from __future__ import annotations

FIRST = 1.0
LONGEST = 30.0
SETTLED = 60.0
"""A worker that lived as long, in seconds, had started well: its death is a first one again."""


class Backoff:
    """Doubles the wait from death to death, up to a bound."""

    def __init__(self) -> None:
        """Begin with the shortest wait."""
        self._next = FIRST

    def after(self, lived: float) -> float:
        """Tell the seconds to wait after a life of so many."""
        if lived >= SETTLED:
            self._next = FIRST
        wait, self._next = self._next, min(2 * self._next, LONGEST)
        return wait
