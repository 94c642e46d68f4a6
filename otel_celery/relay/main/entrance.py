"""The listening socket, and who is let in: our own user's processes, a few at a time.

Who is refused costs no more than an accept, and then a breath is taken, so that a flood of them is no work: they wait
in the kernel's queue, and so do our own, in turn. So it is with those that are let in and leave without a greeting.
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
"""How many are let in, or refused, before those inside get their turn, and a fork has its own."""

BREATH = 0.005
"""The seconds without accepting after somebody was refused, or has left without a greeting."""

PAUSE = 0.25
"""The seconds without accepting after the system had no descriptor left."""

LOOK_SECONDS = 5.0
"""How often the file of a socket that has one is looked for."""

MAX_PLACES = 1024

logger = logging.getLogger("otel_celery")


def places() -> int:
    """Count the connections that may be open: at most a quarter of the process's descriptors, which tasks need too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_PLACES if soft == resource.RLIM_INFINITY else max(4, min(MAX_PLACES, soft // 4))


class Entrance:
    """Opens and shuts by itself; every method belongs to the thread that hears the children, behind the fork gate."""

    def __init__(
        self,
        listening: socket.socket,
        where: address.Address,
        selector: selectors.BaseSelector,
        knocked: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Be open; the selector's data is ``knocked``, and ``failed`` hears once of what keeps everybody out."""
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
        """Let in those that wait, at most ACCEPTS of them, each with the process id that the kernel tells, or 0."""
        has_refused = False
        for _ in range(ACCEPTS):
            try:
                connection, _ = self.listening.accept()
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._shut(now + PAUSE)  # no descriptor is left: the child would be reported again at once
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
        """Let nobody in for a moment, since somebody left without a greeting: a flood of those is to be no work."""
        if self._opens_at is None:
            self._shut(now + BREATH)

    @property
    def is_open(self) -> bool:
        """Tell whether it is not taking a breath."""
        return self._opens_at is None

    def next_moment(self) -> float | None:
        """Tell when there is something to do, on the monotonic clock; None while there is not."""
        return min((at for at in (self._opens_at, self._looks_at) if at is not None), default=None)

    def tend(self, now: float) -> Iterator[tuple[socket.socket, int]]:
        """Open again when it is time, and have a file again; let in whoever waited at the one that is gone."""
        if self._opens_at is not None and now >= self._opens_at:
            self._opens_at = None
            self._selector.register(self.listening, selectors.EVENT_READ, self._knocked)
        if self._looks_at is not None and now >= self._looks_at:
            self._looks_at = now + LOOK_SECONDS
            if address.file_of(self._where) != self._file:
                yield from self._move(now)

    def close(self) -> None:
        """Let nobody in any more; the selector is closed by whoever made it."""
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
