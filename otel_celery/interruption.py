"""Recognise exceptions that an OS signal handler has raised while our code ran, and send such a signal again.

A signal handler's exception is meant for the task, and can be raised at any line of ours: Celery's soft time limit is
one, an application's own handler of SIGALRM raises others. Code of ours that runs on a task's thread and catches
``Exception`` must ask here first, so as not to swallow it.
"""

from __future__ import annotations

import inspect
import os
import signal
from functools import partial
from traceback import walk_tb
from typing import TYPE_CHECKING

from otel_celery import native

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


PAUSE = 0.01
"""Seconds before a signal is sent again, so that our code has returned to the task by then."""

HANDLER = 2
"""Arguments of a signal's handler: the signal's number, and the frame that it interrupts."""

CATCHER = 4
"""Frames from :func:`_callers` to the caller of the function that has caught an error and asks here."""


def send_again(number: int, is_wanted: Callable[[], bool]) -> None:
    """Send this process a signal again after PAUSE, if ``is_wanted`` then, since its handler's exception was lost."""
    native.start("otel-celery-signal", partial(_send, number, is_wanted))


def _send(number: int, is_wanted: Callable[[], bool]) -> None:
    native.Flag().wait(PAUSE)
    if is_wanted():
        os.kill(os.getpid(), number)


def interruption(error: BaseException) -> BaseException | None:
    """Return the exception that a signal handler has raised, to be raised again; None if there is none.

    It is this error, or one that this error has replaced on its way: where a handler interrupts ``Thread.start`` as the
    thread begins, what arrives is a KeyError of ``threading``.
    """
    found = _interrupting(error)
    return None if found is None else found[0]


def interrupting_signal(error: BaseException) -> int | None:
    """Return the number of the signal whose handler has raised :func:`interruption`, or None."""
    found = _interrupting(error)
    return None if found is None else found[1]


def _interrupting(error: BaseException) -> tuple[BaseException, int] | None:
    """Find the exception of a signal handler, and the signal, in an error that the caller's caller has caught."""
    handling = _callers()
    replaced: BaseException | None = error
    while replaced is not None:
        number = _signal_of(replaced)
        if number is not None:
            return replaced, number
        replaced = replaced.__context__
        if replaced is not None and replaced.__traceback__ is not None and replaced.__traceback__.tb_frame in handling:
            return None  # the task has got that one, and handles it while it calls us
    return None


def _callers() -> set[FrameType]:
    """Give the frames of those who called the function that has caught an error."""
    frames, frame = set(), inspect.currentframe()
    for _ in range(CATCHER):
        frame = frame and frame.f_back
    while frame is not None:
        frames.add(frame)
        frame = frame.f_back
    return frames


def _signal_of(error: BaseException) -> int | None:
    """Return the number of the signal whose handler has raised this exception: its frame is in the traceback.

    If handlers interrupted one another, the innermost has raised. A handler is known by its place, or by its arguments
    where another has its place by now, as billiard's handler of SIGTERM gives up its own.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return signal.SIGINT  # whose handler has no frame
    found = {_code(signal.getsignal(number)): number for number in sorted(signal.valid_signals(), reverse=True)}
    for frame in reversed(frames):
        number = found.get(frame.f_code) or _argument(frame)
        if number is not None:
            return number
    return None


def _argument(frame: FrameType) -> int | None:
    """Return the signal's number if a function was called as a handler is: with it, and with its caller's frame."""
    if frame.f_code.co_argcount not in {HANDLER, HANDLER + 1}:  # as a function, or as a method
        return None
    number, interrupted = map(
        frame.f_locals.get, frame.f_code.co_varnames[frame.f_code.co_argcount - HANDLER :][:HANDLER]
    )
    is_called_so = interrupted is not None and interrupted is frame.f_back and isinstance(number, int)
    return number if is_called_so and number in signal.valid_signals() else None


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
