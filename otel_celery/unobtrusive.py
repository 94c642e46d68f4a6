"""Keep a thread of ours from holding up the thread that hands tasks to the pool, while it collects and renders.

Beside a rendering of 10 000 series a message took 100 ms longer to its acceptance, for two reasons. What a rendering
allocates sets off full garbage collections: each looks at every object of the worker with the GIL held, and what was
allocated is freed at the end anyway. So there are none meanwhile; collections of young objects go on. And a thread may
keep the GIL for 5 ms while another waits for it, which the main thread does after each of its calls into the system.
"""

from __future__ import annotations

import functools
import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_celery import forks, native

if TYPE_CHECKING:
    from collections.abc import Iterator

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the GIL while another waits for it; CPython's default is 0.005."""

NEVER = 1_000_003
"""Collections of the middle generation before a full one: more than there will be while somebody works.

An application may read it meanwhile and set a multiple, which the interpreter has to take. Of itself it asks for no
multiple of this prime.
"""

A_LITTLE = 1e-6
"""Seconds; the interpreter keeps its switch interval in whole microseconds."""


class Consideration:
    """What is changed in the interpreter while somebody works; two threads of ours may work at once."""

    def __init__(self) -> None:
        """Change nothing yet."""
        self._renew()
        forks.after_each_fork(self._forked)

    def _renew(self) -> None:
        self._lock = native.original("_thread", "allocate_lock")()  # a greenlet and a thread may share it
        self._workers = 0
        self._threshold = gc.get_threshold()[2]
        self._interval = 0.0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have no full collection, and the GIL given away early; what the application sets meanwhile stays set."""
        with self._lock:
            if self._workers == 0:
                self._change()
            self._workers += 1
        lock = self._lock
        try:
            yield
        finally:
            if lock is self._lock:  # or this is a child that was forked meanwhile
                with lock:
                    self._workers -= 1
                    if self._workers == 0:
                        self._restore()

    def _change(self) -> None:
        young, middle, self._threshold = gc.get_threshold()
        self._interval = sys.getswitchinterval()
        gc.set_threshold(young, middle, NEVER)
        if self._interval > SWITCH_SECONDS:
            sys.setswitchinterval(SWITCH_SECONDS)

    def _restore(self) -> None:
        young, middle, full = gc.get_threshold()  # the application may have set some of them since
        times, rest = divmod(full, NEVER)
        if times and not rest:
            gc.set_threshold(young, middle, times * self._threshold)
        if abs(sys.getswitchinterval() - SWITCH_SECONDS) < A_LITTLE:  # nobody else has set it since
            sys.setswitchinterval(self._interval)

    def _forked(self) -> None:
        """Restore in a child what its parent has changed: no thread of ours works in it."""
        if self._workers:
            self._restore()
        self._renew()


@functools.cache
def consideration() -> Consideration:
    """Return the process's; the first call registers an at-fork handler, which cannot be undone."""
    return Consideration()
