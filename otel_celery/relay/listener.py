"""The main process's ear: one thread that hears all children, and a fork only ever sees it asleep."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from otel_celery.lifecycle import Loss
from otel_celery.relay import frames
from otel_celery.relay.address import is_of_same_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_celery.relay.books import Books, Losses
    from otel_celery.relay.child import Gate

PIECE = 256 * 1024
"""How much of one child is read before the others get their turn, in bytes."""

DRAIN_SECONDS = 0.5
"""How long the end of the worker waits for children that do not end."""

PAUSE = 0.25
"""The seconds without accepting after the system had no descriptor left."""

JOIN_SECONDS = 1.0


class _Talk:
    """One child's connection."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.connection = connection
        self.number = number
        self.incoming = frames.Incoming()
        self.is_known = False
        self.is_ending = False


class Listener:
    """Reads what children send into the books."""

    def __init__(
        self, listening: socket.socket, books: Books, gate: Gate, lost: Losses, failed: Callable[[Exception], None]
    ) -> None:
        """Prepare; children may connect at once, and are heard from :meth:`start` on."""
        self._listening = listening
        self._books = books
        self._gate = gate
        self._lost = lost
        self._failed = failed
        self._numbers = itertools.count(1)
        self._talks: set[_Talk] = set()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._closing_at: float | None = None
        self._has_rung = False
        self._prepare()

    def _prepare(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._selector.register(self._listening, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="otel-celery-relay", daemon=True)

    def start(self) -> None:
        """Begin to hear children, with what the process may have been patched with since."""
        self._selector.close()
        self._prepare()
        self._thread.start()

    def close(self, seconds: float = DRAIN_SECONDS) -> None:
        """Hear the children out, those that still live for so many seconds at most, and hear no more."""
        self._closing_at = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            self._button.send(b"\0")
        if self._thread.ident is None:
            self._close()
        elif threading.current_thread() is not self._thread:
            self._thread.join(seconds + JOIN_SECONDS)

    def abandon(self) -> None:
        """Close a forked child's copies of all this."""
        talks, self._talks = self._talks, set()
        for sock in (self._listening, self._bell, self._button, *(talk.connection for talk in talks)):
            with contextlib.suppress(OSError):
                socket.close(sock.detach())  # gevent's own os.close may wait for ever in a child
        self._selector.close()  # not unregister(): the child shares the main process's epoll

    def _run(self) -> None:
        while not self._is_over():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001  a fault of ours must neither end the thread nor spin
                self._failed(error)
                time.sleep(0.1)
        self._close()

    def _is_over(self) -> bool:
        if self._closing_at is None:
            return False
        return (self._has_rung and not self._talks) or time.monotonic() >= self._closing_at

    def _turn(self) -> None:
        patience = None if self._closing_at is None else max(0.0, self._closing_at - time.monotonic())
        ready = self._selector.select(patience)
        with self._gate.hold():
            for key, _ in ready:
                if key.data is not None:
                    self._hear(key.data)
                elif key.fileobj is self._bell:
                    self._bell.recv(64)
                    self._has_rung = True
                    self._accept()  # whoever knocked before the end is heard out
                else:
                    self._accept()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._failed(error)
                time.sleep(PAUSE)  # no descriptor is left: the child would be reported again at once
                return
            if not is_of_same_user(connection):
                connection.close()
                continue
            connection.setblocking(False)
            talk = _Talk(connection, next(self._numbers))
            self._talks.add(talk)
            self._selector.register(connection, selectors.EVENT_READ, talk)

    def _hear(self, talk: _Talk) -> None:
        try:
            data = talk.connection.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        try:
            for message in talk.incoming.feed(data):
                self._understand(talk, message)
        except (frames.FrameError, TypeError, ValueError) as error:
            self._lost(Loss.MALFORMED)
            self._failed(error)
            self._drop(talk)
            return
        if not data:
            if talk.incoming.is_torn():
                self._lost(Loss.TORN)
            self._drop(talk)

    def _understand(self, talk: _Talk, message: tuple[Any, ...]) -> None:
        if message == frames.HELLO:
            talk.is_known = True
        elif not talk.is_known:
            raise frames.FrameError("another version speaks")
        elif message[0] == "delta":
            self._books.take(talk.number, message[1])
        elif message[0] == "lost":
            self._lost(Loss.UNSUPPORTED, message[1])
        elif message == frames.GOODBYE:
            talk.is_ending = True
        else:
            raise frames.FrameError(f"an unknown message {message[0]!r}")

    def _drop(self, talk: _Talk) -> None:
        self._talks.discard(talk)
        self._selector.unregister(talk.connection)
        talk.connection.close()
        self._books.end(talk.number, in_order=talk.is_ending)

    def _close(self) -> None:
        with self._gate.hold():
            for talk in list(self._talks):
                talk.is_ending = True  # it lives on, but is heard no more
                self._drop(talk)
            self._selector.close()
            for sock in (self._listening, self._bell, self._button):
                sock.close()
