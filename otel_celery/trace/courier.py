"""Run calls in a daemon thread, so that their caller waits for a bounded time, or not at all.

An exporter does not keep its own bounds: against a collector that hangs, ``force_flush(2000)`` took up to 40 s.
"""

from __future__ import annotations

import queue
import threading
from _queue import SimpleQueue  # never patched, unlike ``queue.SimpleQueue``
from functools import partial
from typing import TYPE_CHECKING

from otel_celery import native
from otel_celery.forks import Home

if TYPE_CHECKING:
    from collections.abc import Callable


class Courier:
    """A daemon thread that runs calls, named errands, one after the other.

    The thread is started with the object, since in ``atexit`` no thread can be started from Python 3.12 on. Thread and
    queue are of one kind, both patched by gevent or eventlet or both not: a greenlet that waits for an unpatched queue
    would block its whole process for ever.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        """Start the thread; ``on_error`` gets the exceptions of errands."""
        self._queue = queue.SimpleQueue if native.is_patched() else SimpleQueue  # gevent can leave threads unpatched
        self._errands: SimpleQueue[Callable[[], object] | None] = self._queue()
        self._lock = threading.Lock
        self._on_error = on_error
        self._home = Home()
        threading.Thread(target=self._run, name="otel-celery-courier", daemon=True).start()

    @property
    def is_here(self) -> bool:
        """Whether the thread lives in this process: a fork does not copy it."""
        return self._home.is_here

    def ask(self, errand: Callable[[], object]) -> None:
        """Queue an errand; may be called from inside an OS signal handler."""
        self._errands.put(errand)

    def settle(self, seconds: float) -> bool:
        """Wait until all queued errands are done, at most for some seconds; tell whether they are."""
        return self.mark()(seconds)

    def mark(self) -> Callable[[float], bool]:
        """Return what waits, once and for some seconds at most, until the errands queued by now are done.

        It tells whether they are; without any time left too.
        """
        done = self._lock()
        done.acquire()
        self._errands.put(done.release)
        return lambda seconds: done.acquire(timeout=seconds)  # not a queue's, see ``native.Flag``

    def dismiss(self) -> None:
        """Let the thread end, after the queued errands."""
        self._errands.put(None)

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            try:
                errand()
            except Exception as error:  # noqa: BLE001  the next errand has to run
                self._on_error(error)


def bounded(seconds: float, errand: Callable[[], object], on_error: Callable[[Exception], None]) -> bool:
    """Run an errand in a thread of its own, and wait for it, at most for some seconds; tell whether it is done."""
    courier = Courier(on_error)
    courier.ask(errand)
    is_done = courier.settle(seconds)
    courier.dismiss()
    return is_done


def keep_doing(
    seconds: float,
    errand: Callable[[], object],
    on_error: Callable[[Exception], None],
    is_over: Callable[[], bool],
) -> None:
    """Run an errand every few seconds until ``is_over``, in an OS thread even where gevent or eventlet have patched."""
    native.start("otel-celery-courier", partial(_keep_doing, seconds, errand, on_error, is_over))


def _keep_doing(
    seconds: float,
    errand: Callable[[], object],
    on_error: Callable[[Exception], None],
    is_over: Callable[[], bool],
) -> None:
    pause = native.Flag()
    while not pause.wait(seconds) and not is_over():
        try:
            errand()
        except Exception as error:  # noqa: BLE001  the next run may succeed
            on_error(error)
