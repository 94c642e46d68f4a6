"""Everything that concerns ``os.fork``: the gate, at-fork handlers, inherited sockets, and a test for forked copies.

The gate makes a fork wait while one of our threads works. A child that is forked during a scrape would inherit the
registry's lock, and never see it released.

Each child closes the sockets that it inherited. A copy of the listening socket would keep the port taken after the
parent's end, and a copy of an accepted connection would keep the client from seeing the end of the stream.
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

from otel_celery import forkwarning
from otel_celery.interruption import interrupting_signal, send_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 2.0
"""The longest that a fork waits, in seconds: a stuck scrape may delay the pool, but not stop it."""

IMPORT_PATIENCE = 30.0
"""The longest that a fork waits for an import besides: a child forked beside one would find modules locked for ever.

An import ends by itself, on a slow disk or with a small share of a processor after seconds.
"""

STOCK = 16
"""How many threads may begin to fork at the very same time."""

_logger = logging.getLogger("otel_celery")


class Lock(Protocol):
    """The methods of a re-entrant lock that the gate uses; the lock is gevent's where gevent has patched threading."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002  as in threading
        """Acquire the lock; return whether it was acquired."""

    def release(self) -> None:
        """Release the lock."""


class Inherited(Protocol):
    """The owner of file descriptors that a forked child has to close."""

    def abandon(self) -> None:
        """Close the child's copies; send nothing to the parent's peers, and leave its selector alone."""


class ForkGate:
    """A lock that the endpoint holds while it works, and that a fork acquires for its own duration."""

    def __init__(self) -> None:
        """Make an open gate; only the one that ``gate()`` returns has at-fork handlers."""
        self._watched: weakref.WeakSet[Inherited] = weakref.WeakSet()
        self._reset()

    def _reset(self, *, is_needed: bool = True) -> None:
        self._is_needed = is_needed
        # Re-entrant: the thread that holds the gate may fork itself, in a collector of the registry or in a greenlet.
        self._lock = threading.RLock()
        self._holder: threading.Thread | None = None
        self._holding: int | None = None
        """The thread at work behind the gate."""
        self._is_importing = False
        self._waiting: set[int] = set()
        self._forking: dict[int, Lock] = {}

    def use(self) -> None:
        """Have forks wait in this process, also if it was forked itself: threads of ours work in it from now on."""
        self._is_needed = True

    def watch(self, inherited: Inherited) -> None:
        """Have every forked child abandon this object, for as long as the object lives."""
        self._watched.add(inherited)

    def forget(self, inherited: Inherited) -> None:
        """Stop watching an object, once it is closed."""
        self._watched.discard(inherited)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep forks waiting; a context manager, to be held as briefly as possible."""
        if self._waiting:
            time.sleep(0.001)  # locks are not fair: under constant scraping a fork would hardly ever acquire it
        lock = self._lock  # after a fork inside the block, the child's gate has a new lock
        with lock:
            self._holder = threading.current_thread()
            before, self._holding = self._holding, threading.get_ident()
            try:
                yield
            finally:
                self._holding = before

    @contextlib.contextmanager
    def importing(self) -> Iterator[None]:
        """Keep forks waiting while modules are imported, which may take longer than anything else."""
        with self.hold():
            before, self._is_importing = self._is_importing, True
            try:
                yield
            finally:
                self._is_importing = before

    def before(self) -> None:
        """Wait until the endpoint pauses, at most PATIENCE seconds; called in the thread that forks."""
        if sys.version_info >= (3, 12):
            forkwarning.leave_out()
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
        except BaseException:  # a signal handler's, perhaps before ``_forking`` was set
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
        """Give the child a gate of its own, and close the sockets that it inherited; an at-fork handler."""
        self._reset(is_needed=False)  # our threads live in the parent only
        watched = list(self._watched)
        self._watched.clear()  # first: ``abandon`` may register an object anew, for the child's own forks
        for inherited in watched:
            inherited.abandon()

    def _acquired(self) -> Lock | None:
        if self._lock.acquire(blocking=False):
            return self._lock
        if self._holder is not None and not self._holder.is_alive():
            self._lock = threading.RLock()  # its holder is gone, and can release the old one no more
        lock = self._lock
        if lock.acquire(timeout=PATIENCE) or (self._is_importing and lock.acquire(timeout=IMPORT_PATIENCE)):
            return lock
        _logger.warning("A fork waited in vain for metrics that were being collected, and went ahead")
        return None


class Home:
    """Remembers the process in which an object was made, since a forked child has a copy of that object."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        """Remember this process."""
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Tell whether the current process is the remembered one."""
        return os.getpid() == self._pid


def is_child_of(pid: int) -> bool:
    """Tell whether the process with this id has started the current one, and lives."""
    return os.getppid() == pid


def after_each_fork(forked: Callable[[], None]) -> None:
    """Call a bound method in each forked child, for as long as its object lives."""
    weak = weakref.WeakMethod(forked)

    def after_in_child() -> None:
        if call := weak():
            call()

    os.register_at_fork(after_in_child=after_in_child)


@functools.cache
def gate() -> ForkGate:
    """Return the process's gate; the first call registers its at-fork handlers, which cannot be undone."""
    made, missed = ForkGate(), list[int]()

    def after_in_parent() -> None:
        made.after_in_parent()
        home = Home()
        while missed:
            send_again(missed.pop(), lambda: home.is_here)

    def after_in_child() -> None:
        missed.clear()  # the parent's own
        made.after_in_child()

    before, after = _insistent(made.before, missed), _insistent(after_in_parent, missed)
    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after_in_child)
    return made


def _insistent(hook: Callable[[], None], missed: list[int]) -> Callable[[], None]:
    """Make an at-fork handler that is repeated when a signal's handler interrupts it, and notes the signal as missed.

    Python throws away what an at-fork handler raises, and a task's time limit is raised by a signal's handler. Missed
    signals are sent again once the fork is over: before that they would be lost a second time.

    A signal may arrive at a function's entry, before its ``try``. A generator suspended inside its ``try`` has no such
    moment; a stock of them serves threads that fork at once.
    """
    stock: deque[Iterator[None]] = deque()

    def run() -> Iterator[None]:
        try:
            yield
            fill()
            hook()
        except BaseException as error:
            number = interrupting_signal(error)
            if number is None:
                fill()
                raise
            missed.append(number)
            next(stock.popleft(), None)  # the same once more, which another signal may interrupt

    def fill() -> None:
        while len(stock) < STOCK:
            waiting = run()
            next(waiting)
            stock.append(waiting)

    fill()
    return map(next, iter(stock.popleft, None), repeat(None)).__next__


def abandon(sock: socket.socket) -> None:
    """Close a child's copy of a socket.

    The socket is detached first, so that it cannot later close an unrelated file with the same number. This uses
    ``socket.close``, since gevent's ``os.close`` waits for its hub, which may never run in a child.
    """
    with contextlib.suppress(OSError):  # already closed
        socket.close(sock.detach())
