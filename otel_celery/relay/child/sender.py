"""The thread in a child that sends its metrics to the main process.

Unsent measurements stay in the SDK, added up by label set and bounded by the SDK's own limits: a new collection is made
only once the last one is sent. So a main process that is stuck costs a child neither time nor memory, and nothing is
lost.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from otel_celery import native
from otel_celery.forks import abandon
from otel_celery.lifecycle import Loss
from otel_celery.relay import sdk
from otel_celery.relay.child.delta import DeltaReader
from otel_celery.relay.wire import address, frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics import MeterProvider

FLUSH_SECONDS = 0.2
"""Seconds from a measurement to its sending; a child that is killed loses no more than that."""

OBSERVE_SECONDS = 5.0
"""Seconds between two readings of a task's observable instruments while nothing else is recorded."""

GOODBYE_SECONDS = 0.5
"""Seconds that a child's end may wait for its last values to be sent; its slot in the pool is empty meanwhile."""

BREATH_SECONDS = 0.02
"""Seconds that a child's end waits before it tries again to send."""

CONNECT_SECONDS = 1.0
RETRY_SECONDS = 1.0

_logger = logging.getLogger("otel_celery.relay")


class Sender:
    """The sending thread of one child, started at its first measurement."""

    def __init__(self, where: address.Address, label_length: int, rearm: Callable[[MeterProvider], None]) -> None:
        """Send to the main process; ``rearm`` asks for a call of :meth:`wake` at a provider's next measurement."""
        self._address = where
        self._length = label_length
        self._rearm = rearm
        self._lock = threading.Lock()
        self._made: dict[MeterProvider, DeltaReader] = {}
        self._readers: dict[MeterProvider, DeltaReader] = {}
        """The readers that are added to their providers."""
        self._dirty = native.Flag()
        self._closing = native.Flag()
        self._begun = native.original("_thread", "allocate_lock")()
        """Taken by the thread for good, so that a second thread, if one was started, ends at once."""
        self._is_started = False
        self._over = native.Flag()
        self._unsent: deque[bytes] = deque()
        self._sent = 0
        """Bytes of the first unsent frame that are sent already."""
        self._hello = frames.Hello(os.urandom(frames.NAME_SIZE), os.getpid()).pack(where.secret)
        self._connection: socket.socket | None = None
        self._has_carried = False
        """Whether a whole frame was sent over this connection."""
        self._retry_at = 0.0
        self._give_up_at = 0.0
        self._has_failed = False

    def wake(self, provider: MeterProvider) -> None:
        """Send this provider's measurements from now on; called before one is recorded.

        A signal's handler may interrupt it at any line. The next call completes it.
        """
        if provider not in self._readers:
            with self._lock:
                self._join(provider)
        self._begin()
        self._dirty.set()

    def _begin(self) -> None:
        """Start the thread once; an interruption may cause a second one, which ends at once."""
        if not self._is_started:
            native.start("otel-celery-relay", self._run)
            self._is_started = True

    def _join(self, provider: MeterProvider) -> None:
        if provider in self._readers:
            return
        reader = self._made.setdefault(provider, DeltaReader(self._length))
        provider.add_metric_reader(reader)
        sdk.collect_apart_for(provider, reader, partial(reader.packer.lose, Loss.VALUE))
        self._readers = {**self._readers, provider: reader}

    def say_goodbye(self, seconds: float = GOODBYE_SECONDS) -> None:
        """Send the last values, and wait at most ``seconds`` for that."""
        self._give_up_at = time.monotonic() + seconds
        self._closing.set()
        self._dirty.set()
        if self._readers:
            self._begin()  # an interruption of the task may have prevented it
            self._over.wait(seconds)

    def abandon(self) -> None:
        """Close a forked child's copy of the connection; the parent sends its own measurements itself."""
        connection, self._connection = self._connection, None
        if connection is not None:
            abandon(connection)

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # signals are for the thread that runs tasks
        try:
            self._turn_until_the_end()
        finally:
            self._over.set()

    def _turn_until_the_end(self) -> None:
        while True:
            self._dirty.wait(self._patience())
            self._closing.wait(FLUSH_SECONDS)
            closing = self._closing.is_set()
            again = False
            try:
                again = self._turn()
            except Exception:
                _logger.exception("otel-celery: the metrics that tasks record could not be sent")
            if closing:
                if not again or time.monotonic() >= self._give_up_at:
                    return
                native.Flag().wait(BREATH_SECONDS)
            if again:
                self._dirty.set()

    def _patience(self) -> float | None:
        return OBSERVE_SECONDS if self._is_observing() else None

    def _is_observing(self) -> bool:
        return any(sdk.observes(provider) for provider in self._readers)

    def _turn(self) -> bool:
        """Collect and send, unless the last collection is not sent yet; tell whether to turn again at once.

        A closing child turns until a turn finds nothing, since a measurement may have been under way. Observed values
        are found every time, and do not count.
        """
        if not self._send():
            return True
        closing = self._closing.is_set()
        self._dirty.clear()
        found = False
        for provider, reader in self._readers.items():
            self._rearm(provider)
            found |= self._collect(reader)
        if closing:
            self._unsent.append(frames.frame(frames.GOODBYE))
        return not self._send() or (found and not self._is_observing())

    def _collect(self, reader: DeltaReader) -> bool:
        """Queue a reader's new frames, and tell whether there were any; an error costs this provider alone."""
        try:
            made, lost = reader.take()
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                _logger.exception("otel-celery: the SDK could not collect the metrics that tasks record")
            return False
        self._unsent += made
        if lost:
            self._unsent.append(frames.lost(lost))
        return bool(made)

    def _send(self) -> bool:
        """Send the queued frames, and tell whether all of them are sent.

        The main process closes idle connections when it has too many. Then the current frame begins again on the next
        one: at once, if the closed one carried a whole frame. Frames that were sent whole are not repeated, since the
        main process has read them.
        """
        while self._unsent:
            try:
                connection = self._connected()
                if connection is None:
                    return False
                self._send_some(connection)
            except ConnectionError:
                if not self._disconnect():
                    return False
            except OSError:
                return False  # the main process reads nothing at the moment, or the kernel has no memory
        return True

    def _send_some(self, connection: socket.socket) -> None:
        self._sent += self._write(connection, memoryview(self._unsent[0])[self._sent :])
        if self._sent == len(self._unsent[0]):
            self._unsent.popleft()
            self._sent = 0
            self._has_carried = True

    @staticmethod
    def _write(connection: socket.socket, rest: memoryview) -> int:
        try:
            return connection.send(rest)
        except BlockingIOError:
            poll = native.original("select", "poll")()
            poll.register(connection, native.original("select", "POLLOUT"))
            if not poll.poll(FLUSH_SECONDS * 1_000):
                raise
            return connection.send(rest)

    def _connected(self) -> socket.socket | None:
        if self._connection is None and (time.monotonic() >= self._retry_at or self._closing.is_set()):
            try:
                self._connect()
            except OSError:
                self._disconnect()
        return self._connection

    def _connect(self) -> None:
        make = native.original("socket", "socket")
        self._connection = made = make(socket.AF_UNIX, socket.SOCK_STREAM)  # set before it waits: forks must close it
        address.connect(made, self._address, CONNECT_SECONDS)
        if made.send(self._hello) != len(self._hello):  # an empty socket buffer takes it whole
            raise ConnectionAbortedError

    def _disconnect(self) -> bool:
        """Close the connection, so that the frame begins again on the next one; tell whether that may be at once.

        The main process drops an incomplete frame.
        """
        connection, self._connection = self._connection, None
        is_at_once, self._has_carried = self._has_carried, False
        self._sent = 0
        self._retry_at = 0.0 if is_at_once else time.monotonic() + RETRY_SECONDS
        if connection is not None:
            connection.close()
        return is_at_once
