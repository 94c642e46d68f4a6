"""Threads of the operating system and what they wait with, whatever gevent or eventlet have made of Python's own.

A pool's child that was patched has no hub that turns: between two tasks it waits for the next one in the system, and
a thread that has become a greenlet would stand still until the child ends.
"""

from __future__ import annotations

import _thread
import sys
import time
from contextlib import suppress
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BREATH_SECONDS = 0.02
"""Enough to take a scrape's connection in, and answer it."""


def original(module: str, name: str) -> Any:
    """Give what a module of the standard library held before it was patched, or holds, where it was not."""
    if gevent := sys.modules.get("gevent.monkey"):
        return gevent.get_original(module, name)
    if (eventlet := sys.modules.get("eventlet.patcher")) and eventlet.already_patched:
        return getattr(eventlet.original(module), name)
    return getattr(import_module(module), name)


def is_patched() -> bool:
    """Tell whether a thread that is started now becomes a greenlet."""
    return original("_thread", "start_new_thread") is not _thread.start_new_thread


def start(name: str, target: Callable[[], None]) -> None:
    """Run ``target`` in a daemon thread of the operating system; to be called with what may be started twice.

    It waits for nothing: ``Thread.start`` does, and a task that a time limit interrupts there leaves a thread behind
    that never begins. Raises RuntimeError where the system has no thread left.
    """
    original("_thread", "start_new_thread")(_begin, (name, target))


def _begin(name: str, target: Callable[[], None]) -> None:
    if is_patched():
        target()
    else:
        Thread(target=target, name=name, daemon=True).start()  # whose name debuggers show


def let_greenlets_run() -> None:
    """Give the greenlets of a patched process a moment, where its own loop waits in the system and never turns theirs.

    To be called each second; where nothing is patched it does nothing.
    """
    if is_patched():
        time.sleep(BREATH_SECONDS)


class Flag:
    """An event that may be set in the middle of a task, which a signal's handler may interrupt at any moment.

    ``threading.Event`` would be left locked for ever, where it happens between two of its lines. It is a lock that is
    held while the flag is unset, and not C's ``SimpleQueue``: Python 3.10's may wait for ever, whatever its timeout
    (where that is over once it looks again, it waits for the negative rest).
    """

    def __init__(self) -> None:
        """Begin unset."""
        self._unset = original("_thread", "allocate_lock")()
        self._unset.acquire()

    def set(self) -> None:
        """Wake whoever waits."""
        with suppress(RuntimeError):  # it is set
            self._unset.release()

    def clear(self) -> None:
        """Have the next one wait again."""
        self._unset.acquire(blocking=False)

    def is_set(self) -> bool:
        """Tell whether it is set."""
        return not self._unset.locked()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, but no longer than this; tell whether it is."""
        is_set: bool = self._unset.acquire(timeout=-1 if seconds is None else seconds)
        if is_set:
            self.set()
        return is_set
