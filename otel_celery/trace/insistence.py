"""Make handlers of Celery's signals that survive an OS signal, and pass the signal on to the task.

Such a handler runs on the task's thread. Celery swallows every Exception of a handler, and with it the exception of a
soft time limit that arrives while the handler runs. So the handler is run again, and the OS signal sent again.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from otel_celery.interruption import interrupting_signal, send_again

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN = 3
"""Repetitions of an interrupted handler at most: a second signal, such as an application's, may follow the first."""


class Insistence:
    """Wraps signal handlers, and knows whether the task that was interrupted still runs in this process."""

    def __init__(self) -> None:
        """Begin without a running task."""
        self._running: object = None

    def begin(self) -> None:
        """Note that a task begins."""
        self._running = object()

    def end(self) -> None:
        """Note that the task's body is over: a signal that comes now is too late for it, as without us."""
        self._running = None

    def whole(self, handler: Callable[..., Any]) -> Callable[..., None]:
        """Wrap a handler: when an OS signal interrupts it, run it again, and send the signal again."""

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
