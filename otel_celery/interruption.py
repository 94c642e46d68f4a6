"""Recognise exceptions that an OS signal handler has raised while our code ran, and send such a signal again.

A signal handler's exception is meant for the task, and can be raised at any line of ours: Celery's soft time limit is
one, an application's own handler of SIGALRM raises others. Code of ours that runs on a task's thread and catches
``Exception`` must ask here first, so as not to swallow it.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from traceback import walk_tb
from typing import TYPE_CHECKING

from otel_celery import native

if TYPE_CHECKING:
    from collections.abc import Callable


PAUSE = 0.01
"""Seconds before a signal is sent again, so that our code has returned to the task by then."""


def send_again(number: int, is_wanted: Callable[[], bool]) -> None:
    """Send this process a signal again after PAUSE, if ``is_wanted`` then, since its handler's exception was lost."""
    native.start("otel-celery-signal", partial(_send, number, is_wanted))


def _send(number: int, is_wanted: Callable[[], bool]) -> None:
    native.Flag().wait(PAUSE)
    if is_wanted():
        os.kill(os.getpid(), number)


def is_interruption(error: BaseException) -> bool:
    """Tell whether a signal handler has raised this exception."""
    return interrupting_signal(error) is not None


def interrupting_signal(error: BaseException) -> int | None:
    """Return the number of the signal whose handler has raised this exception, or None.

    The handler's frame is in the exception's traceback. If handlers interrupted one another, the innermost has raised.
    """
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return signal.SIGINT  # whose handler has no frame
    found = {_code(signal.getsignal(number)): number for number in sorted(signal.valid_signals(), reverse=True)}
    return next((found[code] for code in reversed(codes) if code in found), None)


def _code(handler: object) -> object:
    while isinstance(handler, partial):
        handler = handler.func
    return getattr(handler, "__code__", None) or getattr(_call_of(type(handler)), "__code__", None)


def _call_of(kind: type) -> object:
    """Find the ``__call__`` that instances of a class have, and never that of its metaclass.

    ``signal.SIG_DFL`` is a member of an enum. The ``__call__`` of the enum's metaclass is in the traceback of every
    error about an invalid member, and would be taken for a signal handler.
    """
    return next((vars(each)["__call__"] for each in kind.__mro__ if "__call__" in vars(each)), None)
