"""Threads of the operating system, and an event for them, even where gevent or eventlet have patched ``threading``.

In a patched pool child no hub runs: between two tasks the child blocks in the system. A thread that had become a
greenlet would not run again until the child ends.
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

STARTING_SECONDS = 0.05
"""Seconds that a thread of ours may need until it has its name."""

UWSGI_THREADS = frozenset({"enable-threads", "threads", "gevent", "asyncio"})
"""The options with which uWSGI lets threads run, or its loop does."""

_last_start = -STARTING_SECONDS
"""The monotonic time at which a thread was last started here."""

BREATH_SECONDS = 0.02
"""Seconds; long enough to accept a scrape's connection and answer it."""


def original(module: str, name: str) -> Any:
    """Return an attribute of a standard library module as it was before gevent or eventlet patched it."""
    if gevent := sys.modules.get("gevent.monkey"):
        return gevent.get_original(module, name)
    if (eventlet := sys.modules.get("eventlet.patcher")) and eventlet.already_patched:
        return getattr(eventlet.original(module), name)
    return getattr(import_module(module), name)


def is_patched() -> bool:
    """Tell whether a thread that is started now becomes a greenlet."""
    return original("_thread", "start_new_thread") is not _thread.start_new_thread


def stand_still() -> bool:
    """Tell whether threads run only while a request is answered, as in uWSGI without ``--enable-threads``.

    uWSGI keeps the interpreter's lock between two requests. ``pyuwsgi`` is the same server inside a Python whose
    threads run.
    """
    options = getattr(sys.modules.get("uwsgi"), "opt", None)
    return type(options) is dict and "pyuwsgi" not in sys.modules and UWSGI_THREADS.isdisjoint(options)


def start(name: str, target: Callable[[], None]) -> None:
    """Run ``target`` in a daemon thread of the operating system, without waiting until it runs.

    ``Thread.start`` waits, and if a task's time limit interrupts it there, the thread may never begin. A caller that is
    interrupted may try again, so ``target`` must allow for running twice. Raises RuntimeError if the system has no
    thread left.
    """
    global _last_start  # noqa: PLW0603  the process has one
    _last_start = time.monotonic()
    original("_thread", "start_new_thread")(_begin, (name, target))


def is_starting() -> bool:
    """Tell whether a thread was started so recently that it may have no name yet, or a helper that names it."""
    return time.monotonic() - _last_start < STARTING_SECONDS


def _begin(name: str, target: Callable[[], None]) -> None:
    if is_patched():
        target()
    else:
        Thread(target=target, name=name, daemon=True).start()  # debuggers show its name


def let_greenlets_run() -> None:
    """Let the greenlets of a patched process run for BREATH_SECONDS; do nothing in an unpatched one.

    Called each second by a process whose own loop blocks in the system, and so never runs the greenlets' hub.
    """
    if is_patched():
        time.sleep(BREATH_SECONDS)


class Flag:
    """An event that a task can set although a signal handler may interrupt it at any moment.

    It is made of one lock, which is held while the flag is unset. ``threading.Event`` would stay locked for ever if the
    handler raised between two of its lines. ``queue.SimpleQueue`` of Python 3.10 may wait for ever despite a timeout:
    if the time is up when it looks again, it waits for the negative rest.
    """

    def __init__(self) -> None:
        """Begin unset."""
        self._unset = original("_thread", "allocate_lock")()
        self._unset.acquire()

    def set(self) -> None:
        """Set the flag, and wake the threads that wait."""
        with suppress(RuntimeError):  # already set
            self._unset.release()

    def clear(self) -> None:
        """Unset the flag, so that the next ``wait`` blocks."""
        self._unset.acquire(blocking=False)

    def is_set(self) -> bool:
        """Tell whether the flag is set."""
        return not self._unset.locked()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the flag is set, at most for some seconds; tell whether it is set."""
        is_set: bool = self._unset.acquire(timeout=-1 if seconds is None else seconds)
        if is_set:
            self.set()
        return is_set
