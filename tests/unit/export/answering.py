"""A server that reads one request a connection, and answers with the bytes that it was given."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from typing import TYPE_CHECKING

from tests.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Server:
    """What came, and what is answered: to each connection the next answer, which is sent piece by piece."""

    def __init__(self, answers: Iterable[Iterable[bytes]]) -> None:
        """Repeat the last answer for ever."""
        *first, last = answers
        self._answers = chain(first, repeat(last))
        self._over = threading.Event()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.authority = f"{LOOPBACK}:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        """The heads of the requests."""

    def run(self) -> None:
        """Answer until the end."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(client, next(self._answers)), daemon=True).start()

    def end(self) -> None:
        """Listen no more, and send nothing more."""
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, client: socket.socket, pieces: Iterable[bytes]) -> None:
        with client, suppress(OSError):
            self.requests.append(_head(client))
            for piece in pieces:
                if self._over.is_set():
                    return
                client.sendall(piece)


@contextmanager
def answering(*answers: Iterable[bytes]) -> Iterator[Server]:
    """Run a server with these answers, on a port of the loopback."""
    server = Server(answers)
    threading.Thread(target=server.run, daemon=True).start()
    try:
        yield server
    finally:
        server.end()


def _head(client: socket.socket) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read and (more := client.recv(65536)):
        read += more
    head, _, body = read.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length and (more := client.recv(65536)):
        body += more
    return head
