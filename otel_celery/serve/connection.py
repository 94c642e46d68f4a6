"""The connection of one client: reads requests from its socket, writes responses, and has a deadline in each phase."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import time
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING

from otel_celery.forks import abandon
from otel_celery.serve.wires import SLICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.serve.protocol import Conversation
    from otel_celery.serve.wires import Wire

SLICES = 16
"""Slices sent to one client per turn, before the other clients get theirs."""

_READ = 16 * 1024
"""Bytes read at once from a client."""

_THROWN_AWAY = 256 * 1024
"""Bytes read at once, and discarded, from a client that still sends after the last response."""

_LONGEST_LEAVE = 4 * 1024 * 1024
"""Bytes discarded in all before such a client is cut off."""


class Phase(IntEnum):
    """The phase of a connection; when there are too many, one in the lowest phase is evicted first."""

    LEAVING = 0
    """The last response is sent, and the client's end of the stream is awaited: a reset could destroy that response."""
    IDLE = 1
    """The client is kept alive between two requests."""
    HEAD = 2
    """The client is in its handshake, or has not sent a complete request."""
    WRITING = 3
    """A response is being sent."""


PATIENCE = {Phase.LEAVING: 1.0, Phase.IDLE: 30.0, Phase.HEAD: 5.0, Phase.WRITING: 10.0}
"""The longest that each phase may last, in seconds."""


class Connection:
    """Reads and writes when its socket is ready; never blocks."""

    def __init__(
        self,
        sock: socket.socket,
        wire: Wire,
        conversation: Conversation,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take ownership of an accepted socket, and await its first request; the clock is monotonic, in seconds."""
        sock.setblocking(False)
        # Without Nagle's algorithm: a body must not wait until the client has acknowledged the head.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.closed = False
        self._thrown_away = 0
        self._clock = clock
        self._wire = wire
        self._conversation = conversation
        self._pieces: deque[memoryview] = deque()
        self._sealed = memoryview(b"")
        self._enter(Phase.HEAD)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self._clock()
        self.deadline = self.since + PATIENCE[phase]

    @property
    def wants(self) -> int:
        """Return the event to wait for; no request is read before the last response has been sent."""
        writing = self._sealed or self.phase is Phase.WRITING
        return selectors.EVENT_WRITE if writing else selectors.EVENT_READ

    def move(self, events: int) -> None:
        """Read and write as far as possible without blocking.

        Raises OSError, of which ssl.SSLError is a subclass, when the client is lost.
        """
        if events & selectors.EVENT_READ and self.wants & selectors.EVENT_READ:
            self._read()
        self._write()

    def _read(self) -> None:
        is_leaving = self.phase is Phase.LEAVING
        try:
            data = self.socket.recv(_THROWN_AWAY if is_leaving else _READ)
        except (BlockingIOError, InterruptedError):
            return
        if is_leaving:
            self._thrown_away += len(data)
            self.closed = not data or self._thrown_away > _LONGEST_LEAVE
            return
        self._hear(data)

    def _hear(self, data: bytes) -> None:
        was_ready = self._wire.ready
        try:
            heard = self._wire.receive(data)
        except ssl.SSLError:
            self._send_alert()
            raise
        if self._wire.ready and not was_ready:
            self._enter(Phase.HEAD)
        if heard:
            if self.phase is Phase.IDLE:
                self._enter(Phase.HEAD)
            self._conversation.receive(heard)
        if self._wire.ended:
            self._conversation.receive(b"")
        self._answer()

    def _send_alert(self) -> None:
        with contextlib.suppress(OSError):  # the connection is lost anyway
            self.socket.send(self._wire.notes())

    def _answer(self) -> None:
        pieces = self._conversation.advance()
        if pieces:
            self._pieces.extend(memoryview(piece) for piece in pieces)
            self._enter(Phase.WRITING)
        elif self._conversation.over:
            self._leave()

    def _write(self) -> None:
        for _ in range(SLICES):
            if not self._sealed:
                self._sealed = self._next_sealed()
            if not self._sealed:
                return
            try:
                sent = self.socket.send(self._sealed)
            except (BlockingIOError, InterruptedError):
                return
            self._sealed = self._sealed[sent:]

    def _next_sealed(self) -> memoryview:
        notes = self._wire.notes()
        if notes:
            return notes
        if not self._pieces and self.phase is Phase.WRITING:
            self._responded()
        if not self._pieces:
            return memoryview(b"")
        piece = self._pieces.popleft()
        if len(piece) > SLICE:
            self._pieces.appendleft(piece[SLICE:])
        return self._wire.seal(piece[:SLICE])

    def _responded(self) -> None:
        self._enter(Phase.IDLE)
        self._answer()  # a next request may have come, or this was the last

    def _leave(self) -> None:
        self._enter(Phase.LEAVING)
        if self._wire.ended:
            self.closed = True
            return
        farewell = self._wire.farewell()
        if farewell:
            self.socket.send(farewell)
        self.socket.shutdown(socket.SHUT_WR)

    def drop(self) -> None:
        """Close the socket, and discard the part of a response that the client has not read."""
        self.closed = True
        if self._sealed or self._pieces:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def abandon(self) -> None:
        """Close a forked child's copy of the socket; the client notices nothing."""
        self.closed = True
        abandon(self.socket)
