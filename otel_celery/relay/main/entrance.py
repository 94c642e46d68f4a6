"""The listening socket: accepts connections from processes of the worker's own user, a few at a time.

A connection of another user costs no more than an accept. Then accepting pauses for a moment, so that a flood of them
causes little load. Accepting pauses as well after a connection has parted without a greeting. Meanwhile connections
wait in the kernel's queue, and so do our own children's, in turn.
"""

from __future__ import annotations

import logging
import os
import resource
import selectors
from typing import TYPE_CHECKING

from otel_celery.relay.wire import address

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

ACCEPTS = 16
"""Connections accepted, or refused, before the open ones are read and a fork gets its turn."""

BREATH = 0.005
"""Seconds without accepting after a connection was refused, or has parted without a greeting."""

PAUSE = 0.25
"""Seconds without accepting after the system had no file descriptor left."""

LOOK_SECONDS = 5.0
"""Seconds between two checks that the socket's file, if it has one, still exists."""

MAX_PLACES = 1024

logger = logging.getLogger("otel_celery")


def places() -> int:
    """Return how many connections may be open: at most a quarter of the file descriptors, which tasks need too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_PLACES if soft == resource.RLIM_INFINITY else max(4, min(MAX_PLACES, soft // 4))


class Entrance:
    """Accepts connections; every method belongs to the listener's thread, behind the fork gate."""

    def __init__(
        self,
        listening: socket.socket,
        where: address.Address,
        selector: selectors.BaseSelector,
        knocked: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Begin to accept.

        ``knocked`` is registered with ``selector`` for the listening socket. ``failed`` is called once for each kind of
        error that keeps all children out.
        """
        self.listening = listening
        self._where = where
        self._selector = selector
        self._knocked = knocked
        self._failed = failed
        self._said: set[str] = set()
        self._opens_at: float | None = None
        self._file = None if where.is_abstract else address.file_of(where)
        self._looks_at: float | None = None if where.is_abstract else 0.0
        selector.register(listening, selectors.EVENT_READ, knocked)

    def accept(self, now: float) -> Iterator[tuple[socket.socket, int]]:
        """Accept the waiting connections, at most ACCEPTS; yield each with the process id of its peer, or 0.

        The process id is the kernel's; 0 means that the kernel does not tell it.
        """
        has_refused = False
        for _ in range(ACCEPTS):
            try:
                connection, _ = self.listening.accept()
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._shut(now + PAUSE)  # no descriptor is left: the selector would report the child again at once
                self._fail("accept", error)
                return
            peer = address.peer(connection)
            if peer is None or peer[1] == os.geteuid():
                connection.setblocking(False)
                yield connection, 0 if peer is None else peer[0]
                continue
            connection.close()
            has_refused = True
            self._say("stranger", "process %d of user %d, which is not this worker's, is refused by its relay", *peer)
        if has_refused:
            self._shut(now + BREATH)

    def breathe(self, now: float) -> None:
        """Pause accepting after a connection closed without a greeting, to limit the cost of a flood."""
        if self._opens_at is None:
            self._shut(now + BREATH)

    @property
    def is_open(self) -> bool:
        """Tell whether accepting is not paused."""
        return self._opens_at is None

    def next_moment(self) -> float | None:
        """Return when :meth:`tend` is due, on the monotonic clock; None while it is not."""
        return min((at for at in (self._opens_at, self._looks_at) if at is not None), default=None)

    def tend(self, now: float) -> Iterator[tuple[socket.socket, int]]:
        """End a pause that is over, and replace a removed socket file; yield the connections of the old socket."""
        if self._opens_at is not None and now >= self._opens_at:
            self._opens_at = None
            self._selector.register(self.listening, selectors.EVENT_READ, self._knocked)
        if self._looks_at is not None and now >= self._looks_at:
            self._looks_at = now + LOOK_SECONDS
            if address.file_of(self._where) != self._file:
                yield from self._move(now)

    def close(self) -> None:
        """Stop accepting; the selector is left to its owner."""
        self.listening.close()

    def _move(self, now: float) -> Iterator[tuple[socket.socket, int]]:
        self._say("file", "the socket of the relay, %s, was removed, and is made again", self._where.name)
        try:
            listening = address.listen_again(self._where)
        except OSError as error:
            self._fail("file-again", error)
            return
        for each in iter(lambda: list(self.accept(now)), []):
            yield from each
        self._shut(now)
        self.listening.close()
        self.listening = listening
        self._file = address.file_of(self._where)
        self._said -= {"file", "file-again"}

    def _shut(self, until: float) -> None:
        if self._opens_at is None:
            self._selector.unregister(self.listening)
        self._opens_at = until

    def _fail(self, what: str, error: Exception) -> None:
        if what not in self._said:
            self._said.add(what)
            self._failed(error)

    def _say(self, what: str, sentence: str, *arguments: object) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.warning(f"otel-celery: {sentence}", *arguments)  # noqa: G004  the sentence is ours
