"""Handlers of Celery's signals on a task's own thread: done whole, and whatever interrupts one reaches the task.

Celery's dispatch keeps every Exception of a handler to itself, a soft time limit that happens to arrive there as well.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from otel_celery.interruption import interrupting_signal, send_again

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN = 3
"""How often a handler begins again: a second signal, an application's own say, may come close behind the first."""


class Insistence:
    """Knows which task runs in this process, and has a signal that came at the wrong moment sent to it again."""

    def __init__(self) -> None:
        """Begin with none."""
        self._running: object = None

    def begin(self) -> None:
        """Note that a task begins."""
        self._running = object()

    def end(self) -> None:
        """Note that its body is over; what comes now comes too late for it, as it does without us."""
        self._running = None

    def whole(self, handler: Callable[..., Any]) -> Callable[..., None]:
        """Make a handler that begins again where it is interrupted, and has the signal sent again."""

        @wraps(handler)
        def whole(*_: object, **message: Any) -> None:
            for _attempt in range(AGAIN):
                try:
                    handler(**message)
                except Exception as error:
                    number = interrupting_signal(error)
                    if number is None:
                        raise
                    if self._running is not None:
                        send_again(number, partial(self._is_running, self._running))
                else:
                    return
            handler(**message)

        return whole

    def _is_running(self, running: object) -> bool:
        return self._running is running
