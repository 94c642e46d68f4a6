"""Make handlers of Celery's signals that survive an OS signal, and pass the signal on to the task.

Such a handler runs on the task's thread. Celery swallows every Exception of a handler, and with it the exception of a
soft time limit that arrives while the handler runs. So the handler is run again, and the OS signal sent again.

The OS signal may also arrive as our function begins or ends, where nothing of ours can catch it. Celery's dispatch logs
what it swallows, so a filter on its logger learns of that.
"""

from __future__ import annotations

import logging
from functools import partial, wraps
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from otel_celery.interruption import interrupting_signal, interruption, send_again

if TYPE_CHECKING:
    from collections.abc import Callable

DISPATCH = "celery.utils.dispatch.signal"
"""The logger of Celery's dispatch."""

AGAIN = 3
"""Repetitions of an interrupted handler at most: a second signal, such as an application's, may follow the first."""


class Insistence:
    """Wraps signal handlers, and knows whether the task that was interrupted still runs in this process."""

    def __init__(self) -> None:
        """Begin without a running task."""
        self._running: object = None
        logging.getLogger(DISPATCH).addFilter(_is_final)

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
            self.insist(handler, message, [])

        return whole

    def insist(self, handler: Callable[..., Any], message: dict[str, Any], lost: list[int]) -> None:
        """Run a handler until it is not interrupted; send again the signals in ``lost``, and those that come."""
        try:
            for _attempt in range(AGAIN):
                try:
                    handler(**message)
                except Exception as error:
                    number = interrupting_signal(error)
                    if number is None:
                        raise
                    lost.append(number)
                else:
                    return
            handler(**message)
        finally:
            self._send_again(lost)

    def _send_again(self, lost: list[int]) -> None:
        """Send signals again if the task runs: of the first handler, only its end has begun the task."""
        while lost and self._running is not None:
            send_again(lost[-1], partial(self._is_running, self._running))
            lost.pop()

    def _is_running(self, running: object) -> bool:
        return self._running is running


def _is_final(record: logging.LogRecord) -> bool:
    """Run the handler again whose interruption Celery's dispatch is about to log; tell whether it is to be logged."""
    error = record.exc_info[1] if record.exc_info else None
    number = interrupting_signal(error) if error is not None else None
    if error is None or number is None:
        return True
    for frame, _ in walk_tb(error.__traceback__):
        known = frame.f_locals
        if frame.f_code is _WHOLE:
            try:
                known["self"].insist(known["handler"], known["message"], [number])
            except Exception as failed:  # noqa: BLE001  an error of ours is logged by the dispatch
                if (interrupted := interruption(failed)) is not None:
                    raise interrupted from None  # through the dispatch, to the task
                return True
            return False
    return True


# The code of every wrapped handler: a closure has the code of its siblings.
_WHOLE = Insistence.whole(Insistence.__new__(Insistence), lambda: None).__code__
