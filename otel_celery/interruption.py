"""Exceptions that are not ours although they arise in our code: a signal's handler raises them wherever it finds us.

A soft time limit is one, and is meant for the task; so is what an application's own handler raises, of SIGALRM say.
Where our code runs on a task's own thread, whoever catches ``Exception`` asks here first.
"""

from __future__ import annotations

import signal
from functools import partial
from traceback import walk_tb


def is_interruption(error: BaseException) -> bool:
    """Tell whether a signal's handler has raised this."""
    return interrupting_signal(error) is not None


def interrupting_signal(error: BaseException) -> int | None:
    """Tell the signal whose handler has raised this: its frame is among those that the exception came through."""
    codes = {frame.f_code for frame, _ in walk_tb(error.__traceback__)}
    return next((number for number in signal.valid_signals() if _code(signal.getsignal(number)) in codes), None)


def _code(handler: object) -> object:
    while isinstance(handler, partial):
        handler = handler.func
    return getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
