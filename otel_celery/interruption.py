"""Exceptions that are not ours although they arise in our code: a signal's handler raises them wherever it finds us.

A soft time limit is one, and is meant for the task; so is what an application's own handler raises, of SIGALRM say.
Where our code runs on a task's own thread, whoever catches ``Exception`` asks here first.
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
"""The seconds after which a signal is sent again: what kept its exception must be over, and the task at work."""


def send_again(number: int, is_wanted: Callable[[], bool]) -> None:
    """Have a signal come again in a moment, if it is still wanted then: somebody keeps what its handler has raised."""
    native.start("otel-celery-signal", partial(_send, number, is_wanted))


def _send(number: int, is_wanted: Callable[[], bool]) -> None:
    native.Flag().wait(PAUSE)
    if is_wanted():
        os.kill(os.getpid(), number)


def is_interruption(error: BaseException) -> bool:
    """Tell whether a signal's handler has raised this."""
    return interrupting_signal(error) is not None


def interrupting_signal(error: BaseException) -> int | None:
    """Tell the signal whose handler has raised this: its frame is among those that the exception came through.

    Of handlers that interrupted one another it is the innermost that has raised.
    """
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    found = {_code(signal.getsignal(number)): number for number in sorted(signal.valid_signals(), reverse=True)}
    return next((found[code] for code in reversed(codes) if code in found), None)


def _code(handler: object) -> object:
    while isinstance(handler, partial):
        handler = handler.func
    return getattr(handler, "__code__", None) or getattr(_call_of(type(handler)), "__code__", None)


def _call_of(kind: type) -> object:
    """Find what a call of an instance runs, which is never what a call of its class does.

    ``signal.SIG_DFL`` is a member of an enumeration: what calls the class is in every error about a member that is
    none.
    """
    return next((vars(each)["__call__"] for each in kind.__mro__ if "__call__" in vars(each)), None)
