"""What must not be done where it is asked for: a daemon thread does it, and whoever waits for it waits a bounded time.

An exporter's own bounds do not hold: against a collector that hangs, ``force_flush(2000)`` took up to 40 s.
"""

from __future__ import annotations

import queue
import threading
from _queue import SimpleQueue  # the one that nobody patches, as in ``native``
from functools import partial
from typing import TYPE_CHECKING

from otel_celery import native
from otel_celery.forks import Home

if TYPE_CHECKING:
    from collections.abc import Callable


class Courier:
    """Runs errands one after the other.

    The thread is started at once where the process may end in ``atexit``: from Python 3.12 on no thread can be
    started there. Where gevent or eventlet patch the process, thread and queues are from the same side of that moment:
    a greenlet that waits for a queue of the operating system's would hold up its whole process for ever.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        """Wait for errands; ``on_error`` hears of what they raise."""
        self._queue = queue.SimpleQueue if native.is_patched() else SimpleQueue  # gevent may leave threads alone
        self._errands: SimpleQueue[Callable[[], object] | None] = self._queue()
        self._lock = threading.Lock
        self._on_error = on_error
        self._home = Home()
        threading.Thread(target=self._run, name="otel-celery-courier", daemon=True).start()

    @property
    def is_here(self) -> bool:
        """Tell whether its thread is in this process: a fork does not copy it."""
        return self._home.is_here

    def ask(self, errand: Callable[[], object]) -> None:
        """Have something done; may be called from inside an OS signal handler."""
        self._errands.put(errand)

    def settle(self, seconds: float) -> bool:
        """Wait until all errands are done, but no longer than this; tell whether they are."""
        done = self._lock()
        done.acquire()
        self._errands.put(done.release)
        return done.acquire(timeout=seconds)  # of a queue Python 3.10 may wait for ever, see ``native.Flag``

    def dismiss(self) -> None:
        """Let its thread end, after what it has been asked."""
        self._errands.put(None)

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            try:
                errand()
            except Exception as error:  # noqa: BLE001  the next errand is not to blame
                self._on_error(error)


def bounded(seconds: float, errand: Callable[[], object], on_error: Callable[[Exception], None]) -> bool:
    """Have one thing done in a thread of its own, and wait no longer than this; tell whether it is done."""
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
    """Have one thing done again and again, in a thread of the operating system even where the process is patched."""
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
        except Exception as error:  # noqa: BLE001  the next time may go well
            on_error(error)
