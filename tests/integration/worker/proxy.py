"""A TCP proxy in front of a broker, which can be cut and mended: the broker goes, and comes back, at one address."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator


class Proxy:
    """Forwards connections while it is mended; cut, it drops them all and listens no more."""

    def __init__(self, url: str) -> None:
        """Stand in front of the server at this URL."""
        parts = urlsplit(url)
        self._server = (parts.hostname or LOOPBACK, parts.port or 6379)
        self._sockets: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._port = 0
        self.mend()
        self.url = parts._replace(netloc=f"{LOOPBACK}:{self._port}").geturl()

    @classmethod
    @contextlib.contextmanager
    def to(cls, url: str) -> Iterator[Proxy]:
        """Give a proxy that is cut in the end."""
        proxy = cls(url)
        try:
            yield proxy
        finally:
            proxy.cut()

    def mend(self) -> None:
        """Listen, at the same port as ever."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, self._port))
        listener.listen()
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def lead_to(self, url: str) -> None:
        """Drop every connection, and forward those that come to the server at this URL."""
        parts = urlsplit(url)
        self.cut()
        self._server = (parts.hostname or LOOPBACK, parts.port or 6379)
        self.mend()

    def cut(self) -> None:
        """Drop every connection, and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        while self._sockets:
            _end(self._sockets.pop())

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=_forward, args=(source, sink), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _end(sink)
    _end(source)


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
