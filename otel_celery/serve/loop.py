"""The endpoint's event loop: waits for sockets, serves the connections that are ready, and drops those past a deadline.

It holds the fork gate while it works, so that no fork happens except while the loop waits.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import resource
import selectors
import socket
import time
from typing import TYPE_CHECKING

from otel_celery.forks import abandon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_celery.forks import ForkGate
    from otel_celery.serve.connection import Connection

MAX_CONNECTIONS = 128
"""Open connections at most; see :func:`connection_limit`."""

ACCEPTS = 16
"""Connections accepted per turn and listener, so that a burst of new clients cannot evict one not read from yet."""

REST = 2.0
"""Sleep after each turn, as a multiple of the turn's CPU time: clients get at most a third of a core.

The loop shares the GIL with the thread that hands tasks to the pool, and a client may send requests without end.
"""

LONGEST_REST = 0.02
"""The longest sleep after a turn, in seconds, even after a turn with a rendering."""

PAUSE = 0.25
"""Seconds without accepting after the process ran out of descriptors: a waiting client would wake the loop at once."""

_logger = logging.getLogger("otel_celery.serve")


def connection_limit() -> int:
    """Return how many connections may be open: at most a quarter of the process's descriptors, which tasks need too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(4, min(MAX_CONNECTIONS, soft // 4))


class Loop:
    """The event loop, with its selector, listeners and connections; only ``wake`` may be called in any thread."""

    def __init__(
        self,
        gate: ForkGate,
        welcome: Callable[[socket.socket], Connection],
        on_error: Callable[[str, Exception], None],
        limit: int,
    ) -> None:
        """Make connections with ``welcome``, at most ``limit`` at once; report errors of ours with their place.

        Raises OSError when the process has no descriptor left.
        """
        self._gate = gate
        self._welcome = welcome
        self._on_error = on_error
        self._limit = limit
        self._selector = selectors.DefaultSelector()
        self._bell, self._button = socket.socketpair()
        self._listeners: list[socket.socket] = []
        self._connections: dict[Connection, int] = {}
        self._accept_at: float | None = None
        self._reported = False
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._rung)

    def listen(self, listeners: Iterable[socket.socket]) -> None:
        """Accept clients on these sockets from now on."""
        self._listeners.extend(listeners)
        self._open_doors()

    def wake(self) -> None:
        """End the current turn's wait; may be called in any thread."""
        with contextlib.suppress(OSError):  # the socket's buffer is full of wake-ups, or the loop is closed
            self._button.send(b"\0")

    def turn(self, until: float | None = None) -> None:
        """Wait for ready sockets, at most until this time of the monotonic clock, and serve them."""
        ready = self._selector.select(self._patience(until))
        with self._gate.hold():
            begun, now = time.thread_time(), time.monotonic()
            for key, events in ready:
                key.data(events, now)
            self._expire(now)
            worked = time.thread_time() - begun
        time.sleep(min(REST * worked, LONGEST_REST))

    def _patience(self, until: float | None) -> float | None:
        moments = [connection.deadline for connection in self._connections]
        moments += [moment for moment in (until, self._accept_at) if moment is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _rung(self, _events: int, _now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(64)

    def _open_doors(self) -> None:
        self._accept_at = None
        for listener in self._listeners:
            accept = functools.partial(self._accept, listener)
            self._selector.register(listener, selectors.EVENT_READ, accept)

    def _close_doors(self, now: float, error: OSError) -> None:
        self._accept_at = now + PAUSE
        for listener in self._listeners:
            self._selector.unregister(listener)
        if not self._reported:
            self._reported = True
            _logger.error("The port cannot accept a connection, and keeps trying: %s", error)

    def _accept(self, listener: socket.socket, _events: int, now: float) -> None:
        for _ in range(ACCEPTS):
            if self._accept_at is not None:
                return
            try:
                sock, _address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._close_doors(now, error)
                return
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        while len(self._connections) >= self._limit:
            self._drop(min(self._connections, key=lambda other: (other.phase, other.since)))
        try:
            connection = self._welcome(sock)
            self._selector.register(sock, connection.wants, functools.partial(self._move, connection))
        except Exception as error:  # noqa: BLE001  an error with one client must not affect the others
            sock.close()
            self._on_error("accept", error)
        else:
            self._connections[connection] = connection.wants

    def _move(self, connection: Connection, events: int, _now: float) -> None:
        if connection.closed:
            return  # dropped earlier in this turn
        try:
            connection.move(events)
        except OSError:
            connection.closed = True  # the client is gone, or does not speak TLS: no error of ours
        except Exception as error:  # noqa: BLE001  an error with one client must not affect the others
            connection.closed = True
            self._on_error("connection", error)
        if connection.closed:
            self._drop(connection)
        elif connection.wants != self._connections.get(connection):
            self._connections[connection] = connection.wants
            self._selector.modify(connection.socket, connection.wants, functools.partial(self._move, connection))

    def _expire(self, now: float) -> None:
        for connection in [late for late in self._connections if late.deadline <= now]:
            self._drop(connection)
        if self._accept_at is not None and self._accept_at <= now:
            self._open_doors()

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection, None) is not None:
            self._selector.unregister(connection.socket)
            connection.drop()

    def close(self) -> None:
        """Close every descriptor; no turn may follow."""
        with self._gate.hold():
            for connection in list(self._connections):
                self._drop(connection)
            self.close_listeners()
            self._selector.close()
            self._bell.close()
            self._button.close()

    def close_listeners(self) -> None:
        """Free the port; may be called in any thread."""
        for listener in self._listeners:
            listener.close()

    def abandon(self) -> None:
        """Close a forked child's copies of every descriptor."""
        connections, self._connections = list(self._connections), {}
        listeners, self._listeners = self._listeners, []
        for sock in (*listeners, self._bell, self._button):  # first: a client that sees its end may bind the port
            abandon(sock)
        for connection in connections:
            connection.abandon()
        # No unregister(): the parent shares the epoll with the child, and would get no events. close() is the child's.
        self._selector.close()
