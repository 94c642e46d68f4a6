"""When a scheduler last showed that it lives; implements ``observers.BeatLevels``.

A scheduler that cannot reach its broker does not tick: Celery waits for the broker inside a tick, and so for minutes.
Each failed attempt shows that it lives, as a tick does. The longest silence of a scheduler that lives is therefore the
time that it sleeps between two ticks, or between two attempts.

It refers to no scheduler, which the port's thread could otherwise wait for: what a probe asks was noted by beat's own
thread. Times are monotonic, since a step of the machine's clock is no silence.
"""

from __future__ import annotations

import math
import time
from typing import Any

from otel_celery import plain

DEFAULT_SLEEP = 300.0
"""Celery's own longest sleep, for a scheduler that does not say its own."""


class Pulse:
    """The signs of life of one scheduler."""

    def __init__(self) -> None:
        """Begin before the first tick."""
        self._at: float | None = None
        self._last: float | None = None
        self._longest = DEFAULT_SLEEP
        self._entries: int | None = None
        self._is_waiting = False

    def began(self) -> None:
        """Note that a tick began."""
        self._shows_life()

    def ended(self, longest: Any, interval: Any) -> None:
        """Note that a tick ended.

        ``longest`` is what the scheduler says of its longest sleep, and ``interval`` how long it is about to sleep.
        """
        self._is_waiting = False
        self._longest = max(_seconds(longest, DEFAULT_SLEEP), _seconds(interval, 0.0))
        self._shows_life()

    def counted(self, entries: int | None) -> None:
        """Note the size of the schedule; None if it is not known."""
        self._entries = entries

    def sent(self) -> None:
        """Note that something was sent, or was tried to be sent."""
        self._is_waiting = False
        self._shows_life()

    def refused(self) -> None:
        """Note that the broker could not be reached, and that this is tried again."""
        self._is_waiting = True
        self._shows_life()

    def last_tick(self) -> float | None:
        """Return when the scheduler last showed that it lives, in seconds since the epoch; None before it ticked."""
        return self._last

    def entries(self) -> int | None:
        """Count the entries of the schedule, as the last tick has seen them."""
        return self._entries

    def silence(self) -> float | None:
        """Return for how many seconds the scheduler has not shown that it lives; None before it ticked."""
        at = self._at
        return None if at is None else max(0.0, time.monotonic() - at)

    def longest_sleep(self) -> float:
        """Return the longest time that the scheduler sleeps between two ticks, in seconds."""
        return self._longest

    def waits_for_broker(self) -> bool:
        """Tell whether the scheduler is trying to reach the broker, and has failed to."""
        return self._is_waiting

    def _shows_life(self) -> None:
        self._at, self._last = time.monotonic(), time.time()


def _seconds(value: Any, default: float) -> float:
    """Make a number of seconds plain; whatever is no finite number, or negative, is the default."""
    try:
        number = float(plain.number(value))
    except Exception:  # noqa: BLE001  None, and whatever else a user's scheduler says
        return default
    return number if number >= 0.0 and math.isfinite(number) else default
