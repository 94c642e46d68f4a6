"""The transport of a connection's bytes: plain, or TLS in memory."""

from __future__ import annotations

import contextlib
import ssl
from typing import Protocol

SLICE = 16 * 1024
"""Bytes encrypted or sent per call, and so the most that is copied of a response for a slow client."""


class Wire(Protocol):
    """Translates between a socket's bytes and HTTP's."""

    ready: bool
    """Whether the handshake is done."""
    ended: bool
    """Whether the client has ended its stream."""

    def receive(self, data: bytes) -> bytes:
        """Take the socket's bytes, or empty bytes at their end, and return HTTP's.

        Raises ssl.SSLError when the bytes are not TLS, or the handshake fails.
        """

    def seal(self, piece: memoryview) -> memoryview:
        """Return the socket's bytes for a piece of HTTP, of at most SLICE bytes."""

    def notes(self) -> memoryview:
        """Return bytes that the transport itself has to send, such as its part of a handshake."""

    def farewell(self) -> memoryview:
        """Return the last bytes to send."""


class PlainWire:
    """Bytes without encryption."""

    def __init__(self) -> None:
        """Need no handshake."""
        self.ready = True
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """Return the same bytes."""
        self.ended = not data
        return data

    def seal(self, piece: memoryview) -> memoryview:
        """Return the same piece."""
        return piece

    def notes(self) -> memoryview:
        """Return nothing."""
        return memoryview(b"")

    def farewell(self) -> memoryview:
        """Return nothing: the end of the stream is enough."""
        return memoryview(b"")


class TLSWire:
    """TLS in memory, on a plain socket: gevent and eventlet patch ``ssl.SSLSocket``."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Await a client's handshake."""
        self.ready = False
        self.ended = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def receive(self, data: bytes) -> bytes:
        """Return the bytes that can be decrypted so far.

        Raises ssl.SSLError when the data is not TLS, or the handshake fails.
        """
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        plain = bytearray()
        try:
            if not self.ready:
                self._tls.do_handshake()
                self.ready = True
            while piece := self._tls.read(SLICE):
                plain += piece
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self.ended = True
        return bytes(plain)

    def seal(self, piece: memoryview) -> memoryview:
        """Encrypt a piece."""
        self._tls.write(piece)
        return memoryview(self._outgoing.read())

    def notes(self) -> memoryview:
        """Return the handshake's next part, or an alert."""
        return memoryview(self._outgoing.read())

    def farewell(self) -> memoryview:
        """Return TLS's close_notify, without which the client must suspect a truncation attack."""
        with contextlib.suppress(ssl.SSLError):  # unwrap() also wants the client's close_notify
            self._tls.unwrap()
        return self.notes()
