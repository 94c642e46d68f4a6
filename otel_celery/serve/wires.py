"""The two ways in which bytes travel: as they are, or through TLS."""

from __future__ import annotations

import contextlib
import ssl
from typing import Protocol

SLICE = 16 * 1024
"""How much is encrypted, or handed to a socket, at once: all that a slow reader can make us hold a copy of."""


class Wire(Protocol):
    """Turns what the network carries into what HTTP sees, and back."""

    ready: bool
    """The handshake is done."""
    ended: bool
    """The peer will send no more."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes off the network, none at its end, and return what they say.

        Raises ssl.SSLError when they are not TLS, or the handshake fails.
        """

    def seal(self, piece: memoryview) -> memoryview:
        """Return what to put on the network for a piece of at most SLICE bytes."""

    def notes(self) -> memoryview:
        """Return what the wire itself has to say, such as its part of a handshake."""

    def farewell(self) -> memoryview:
        """Return what to put on the network last."""


class PlainWire:
    """Bytes as they are."""

    def __init__(self) -> None:
        """Be ready at once."""
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
        """Say nothing."""
        return memoryview(b"")

    def farewell(self) -> memoryview:
        """Say nothing: the end of the stream says it."""
        return memoryview(b"")


class TLSWire:
    """TLS in memory: the socket stays ours, whatever gevent or eventlet have made of ``ssl.SSLSocket``."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Await a client's handshake."""
        self.ready = False
        self.ended = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def receive(self, data: bytes) -> bytes:
        """Decrypt what is complete of it.

        Raises ssl.SSLError when it is not TLS, or the handshake fails.
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
        """Return TLS's own goodbye, without which the client takes the end for an attack."""
        with contextlib.suppress(ssl.SSLError):  # it would wait for the client's goodbye
            self._tls.unwrap()
        return self.notes()
