"""All that is known here of ``os.fork``: the gate before it, what a child lets go of, and in which process one is.

The gate stands between our threads and a fork: nobody forks while they are at work.
A child that is forked while a scrape holds a registry's lock inherits that lock, held for ever.
A child that inherits the listening socket keeps the port taken after its parent is gone; one that inherits an accepted
connection keeps the client from ever seeing its end. So the gate is shut while a thread works, and each child closes
what it inherited.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import sys
import threading
import time
import weakref
from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, Protocol

from otel_celery import forkwarning as warned
from otel_celery.interruption import interrupting_signal, send_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 2.0
"""The seconds a fork waits at most: a stuck scrape may delay the pool, but not stop it."""

STOCK = 16
"""How many threads may begin to fork at the very same time."""

_logger = logging.getLogger("otel_celery.serve")


class Lock(Protocol):
    """The part of a re-entrant lock that is used; its class is gevent's where gevent has patched it."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002  as in threading
        """Take it."""

    def release(self) -> None:
        """Give it back."""


class Inherited(Protocol):
    """Something with file descriptors that a forked child must let go of."""

    def abandon(self) -> None:
        """Close the child's copies, without a word to the parent's peers or its selector."""


class ForkGate:
    """A lock that the endpoint holds while it works and a fork takes for its own moment."""

    def __init__(self) -> None:
        """Make an open gate; ``gate()`` makes the one that forks know of."""
        self._watched: weakref.WeakSet[Inherited] = weakref.WeakSet()
        self._reset()

    def _reset(self, *, is_needed: bool = True) -> None:
        self._is_needed = is_needed
        # Re-entrant, since a fork may come from the very thread that holds it: a collector's own, or a greenlet's.
        self._lock = threading.RLock()
        self._holder: threading.Thread | None = None
        self._holding: int | None = None
        """The thread at work behind the gate."""
        self._waiting: set[int] = set()
        self._forking: dict[int, Lock] = {}

    def watch(self, inherited: Inherited) -> None:
        """Have every forked child abandon this, for as long as it lives."""
        self._watched.add(inherited)

    def forget(self, inherited: Inherited) -> None:
        """Leave this alone in later children: it is closed."""
        self._watched.discard(inherited)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep forks waiting, for as short a while as possible."""
        if self._waiting:
            time.sleep(0.001)  # locks are not fair: under constant scraping a fork would hardly get its turn
        lock = self._lock  # a child has a new one by the time a fork in here returns
        with lock:
            self._holder = threading.current_thread()
            before, self._holding = self._holding, threading.get_ident()
            try:
                yield
            finally:
                self._holding = before

    def before(self) -> None:
        """Wait for the endpoint to pause, at most PATIENCE seconds; called in the thread that forks."""
        if sys.version_info >= (3, 12):
            warned.leave_out()
        if not self._is_needed:
            return
        me = threading.get_ident()
        if self._holding == me or me in self._forking:
            return
        self._waiting.add(me)
        try:
            lock = self._acquired()
            if lock is not None:
                self._forking[me] = lock
                self._holder = threading.current_thread()
        except BaseException:  # of a signal's handler, which may have come before the note of what was locked
            self._forking.pop(me, None)
            with contextlib.suppress(RuntimeError):  # it was not
                self._lock.release()
            raise
        finally:
            self._waiting.discard(me)

    def after_in_parent(self) -> None:
        """Let the endpoint go on; may be called again, where a signal's handler has interrupted it."""
        me = threading.get_ident()
        lock = self._forking.get(me)
        if lock is not None:
            with contextlib.suppress(RuntimeError):  # it was released already
                lock.release()
            self._forking.pop(me, None)

    def after_in_child(self) -> None:
        """Give the child a gate of its own, and close what it inherited."""
        self._reset(is_needed=False)  # the threads that it keeps asleep are the parent's
        watched = list(self._watched)
        self._watched.clear()  # before: what lets go may have itself watched in the child's own forks
        for inherited in watched:
            inherited.abandon()

    def _acquired(self) -> Lock | None:
        if self._lock.acquire(blocking=False):
            return self._lock
        if self._holder is not None and not self._holder.is_alive():
            self._lock = threading.RLock()  # nobody is left to release the old one
        lock = self._lock
        if lock.acquire(timeout=PATIENCE):
            return lock
        _logger.warning("A fork waited %s s for metrics that were being collected, and went ahead", PATIENCE)
        return None


class Home:
    """The process in which something was made; a forked child has a copy of it, and is not that process."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        """Be at home in this process."""
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Tell whether this is still that process."""
        return os.getpid() == self._pid


def after_each_fork(forked: Callable[[], None]) -> None:
    """Have a bound method called in each child, for as long as its object lives."""
    weak = weakref.WeakMethod(forked)

    def after_in_child() -> None:
        if call := weak():
            call()

    os.register_at_fork(after_in_child=after_in_child)


@functools.cache
def gate() -> ForkGate:
    """Return the process's gate; the first call registers it with ``os.fork``, which cannot be undone."""
    made = ForkGate()
    before, after = _insistent(made.before), _insistent(made.after_in_parent)
    os.register_at_fork(before=before, after_in_parent=after, after_in_child=made.after_in_child)
    return made


def _insistent(hook: Callable[[], None]) -> Callable[[], None]:
    """Make an at-fork handler in which a task's time limit is not lost: Python prints what one raises, and goes on.

    A signal's handler may run as a function begins, before its first line could catch anything. So what Python calls is
    no function, but a generator that waits inside its ``try``, out of a stock since several threads may fork at once.
    """
    stock: deque[Iterator[None]] = deque()

    def run() -> Iterator[None]:
        try:
            yield
            fill()
            hook()
        except BaseException as error:  # noqa: BLE001  raised again, or its signal sent again
            _come_again(error)
            fill()
            hook()

    def fill() -> None:
        while len(stock) < STOCK:
            waiting = run()
            next(waiting)
            stock.append(waiting)

    fill()
    return map(next, iter(stock.popleft, None), repeat(None)).__next__


def _come_again(error: BaseException) -> None:
    """Have a signal sent again whose handler has raised this; what nobody's handler has raised is raised again."""
    number = interrupting_signal(error)
    if number is None:
        raise error
    home = Home()
    send_again(number, lambda: home.is_here)


def abandon(sock: socket.socket) -> None:
    """Close a child's copy of a socket.

    A detached socket can never close an unrelated file of the same number later. ``socket.close`` and not ``os.close``,
    since gevent's own ``os.close`` waits for its hub to turn, and in a child it may never do so.
    """
    with contextlib.suppress(OSError):  # closed already
        socket.close(sock.detach())
