"""Receive the children's metrics, in one thread of the main process that holds the fork gate while it works.

So a fork happens only while the thread waits.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_celery.ending import STRAGGLERS_SECONDS, THREAD_SECONDS
from otel_celery.forks import abandon
from otel_celery.lifecycle import Loss
from otel_celery.relay.main.entrance import Entrance, places
from otel_celery.relay.main.roster import Roster
from otel_celery.relay.main.talk import HELLO_SECONDS, MAX_ODD, Talk
from otel_celery.relay.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_celery.forks import ForkGate
    from otel_celery.relay.main.merged import Losses, Merged
    from otel_celery.relay.main.talk import Member
    from otel_celery.relay.wire.address import Address

PIECE = 256 * 1024
"""Bytes read from one child before the others, and a fork, get their turn."""


class Listener:
    """Reads the frames of all children into the merged metrics."""

    def __init__(
        self,
        listening: socket.socket,
        where: Address,
        gate: ForkGate,
        lost: Losses,
        failed: Callable[[Exception], None],
    ) -> None:
        """Prepare; children may connect at once, and are read from :meth:`start` on."""
        self._gate = gate
        self._lost = lost
        self._failed = failed
        self._where = where
        self._limit = places()
        self._roster = Roster()
        self._talks: set[Talk] = set()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._closing_at: float | None = None
        self._has_rung = False
        self._prepare(listening)

    def _prepare(self, listening: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ, self._rung)
        self._entrance = Entrance(listening, self._where, self._selector, self._knocked, self._failed)
        self._thread = threading.Thread(target=self._run, name="otel-celery-relay", daemon=True)

    def start(self, merged: Merged) -> None:
        """Start the thread, which adds what it reads to ``merged``.

        Its selector is a new one: gevent may have patched the process since.
        """
        self._merged = merged
        self._selector.close()
        self._prepare(self._entrance.listening)
        self._thread.start()

    def close(self, seconds: float = STRAGGLERS_SECONDS) -> None:
        """Read the children's last frames, for ``seconds`` at most while children live, and stop."""
        self._closing_at = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            self._button.send(b"\0")
        if self._thread.ident is None:
            self._close()
        elif threading.current_thread() is not self._thread:
            self._thread.join(seconds + THREAD_SECONDS)

    def abandon(self) -> None:
        """Close a forked child's copies of the sockets and the selector."""
        talks, self._talks = self._talks, set()
        for sock in (self._entrance.listening, self._bell, self._button, *(talk.connection for talk in talks)):
            abandon(sock)
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
        is_quiet = self._has_rung and self._entrance.is_open and not self._talks and not self._roster
        return is_quiet or time.monotonic() >= self._closing_at

    def _turn(self) -> None:
        """Wait for an event, and handle it; a fork may happen between any two events."""
        moment = self._next_moment()
        ready = self._selector.select(None if moment is None else max(0.0, moment - time.monotonic()))
        for key, _ in ready:
            with self._gate.hold():
                key.data()
        if moment is not None and time.monotonic() >= moment:
            with self._gate.hold():
                self._tend(time.monotonic())

    def _next_moment(self) -> float | None:
        moments = [self._closing_at, self._entrance.next_moment(), self._roster.next_look()]
        moments += [talk.opened_at + HELLO_SECONDS for talk in self._talks if talk.member is None]
        return min((moment for moment in moments if moment is not None), default=None)

    def _tend(self, now: float) -> None:
        self._admit(self._entrance.tend(now), now)
        for talk in [talk for talk in self._talks if talk.is_late(now)]:
            if talk.greeting:
                self._malformed(frames.FrameError("half a greeting, and no more of it in time"))
            self._part(talk)
        for member in self._roster.gone(now):
            if member.is_torn:
                self._lost(Loss.TORN)
            self._leave(member, in_order=False)

    def _rung(self) -> None:
        self._bell.recv(64)
        self._has_rung = True
        self._knocked()  # connections made before the end are still read

    def _knocked(self) -> None:
        now = time.monotonic()
        self._admit(self._entrance.accept(now), now)

    def _admit(self, connections: Iterable[tuple[socket.socket, int]], now: float) -> None:
        for connection, pid in connections:
            while len(self._talks) >= self._limit:
                self._dismiss(min(self._talks, key=lambda talk: talk.claim(now)))
            talk = Talk(connection, pid, now)
            try:
                self._selector.register(connection, selectors.EVENT_READ, partial(self._hear, talk))
            except OSError as error:  # the kernel has no memory for it: the child connects again
                connection.close()
                self._failed(error)
            else:
                self._talks.add(talk)

    def _dismiss(self, talk: Talk) -> None:
        """Close the connection of a child that lives on, without a loss: read everything sent, and accept no more.

        Linux refuses data on a socket that is shut for reading. Elsewhere data that arrive at this very moment may be
        lost.
        """
        talk.is_dismissed = True
        with contextlib.suppress(OSError):
            talk.connection.shutdown(socket.SHUT_RD)
        while self._hear(talk):
            pass
        self._part(talk)

    def _hear(self, talk: Talk) -> bool:
        """Read from a child's connection once, and tell whether there may be more."""
        if talk.is_over:
            return False  # closed since the selector reported it
        try:
            data = talk.connection.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        try:
            self._take(talk, data)
        except frames.FrameError as error:
            self._malformed(error)
            talk.is_dismissed = True  # a child of ours begins again, on a new connection
            self._part(talk)
        if not data:
            self._part(talk)
        return not talk.is_over

    def _take(self, talk: Talk, data: bytes) -> None:
        talk.heard_at = time.monotonic()
        if talk.member is None:
            greeted = talk.greeted(data, self._where.secret)
            if greeted is None:
                return
            hello, data = greeted
            self._greet(talk, hello)
        for body in talk.incoming.feed(data):
            try:
                self._understand(talk, frames.message(body))
            except Exception as error:  # noqa: BLE001  only this frame is lost: the next one begins where it ends
                self._malformed(error)
                talk.odd += 1
                if talk.odd >= MAX_ODD:
                    raise frames.FrameError("too many invalid frames") from None

    def _greet(self, talk: Talk, hello: frames.Hello) -> None:
        member = self._roster.find(hello.name, talk.pid or hello.pid)
        if member.talk is not None:
            self._dismiss(member.talk)  # before: the older connection is read first
            member = self._roster.find(hello.name, talk.pid or hello.pid)
        talk.member = member
        self._roster.arrive(member, talk)

    def _understand(self, talk: Talk, message: tuple[Any, ...]) -> None:
        if message[0] == "delta" and talk.member is not None:
            self._merged.take(talk.member.number, message[1])
        elif message[0] == "lost":
            self._merged.lose(message[1])
        elif message == frames.GOODBYE:
            talk.is_ending = True
        else:
            raise frames.FrameError(f"an unknown message {message[0]!r:.100}")

    def _malformed(self, error: Exception) -> None:
        self._lost(Loss.MALFORMED)
        self._failed(error)

    def _part(self, talk: Talk) -> None:
        """Close a connection, and note whether its child has ended."""
        if talk.is_over:
            return
        talk.is_over = True
        self._talks.discard(talk)
        self._selector.unregister(talk.connection)
        talk.connection.close()
        if talk.member is None:
            self._entrance.breathe(time.monotonic())
            return
        if talk.is_dismissed and not talk.is_ending:
            self._roster.send_away(talk.member, time.monotonic(), is_torn=talk.incoming.is_torn())
            return
        if talk.incoming.is_torn():
            self._lost(Loss.TORN)
        self._leave(talk.member, in_order=talk.is_ending)

    def _leave(self, member: Member, *, in_order: bool) -> None:
        self._roster.leave(member)
        self._merged.end(member.number, in_order=in_order)

    def _close(self) -> None:
        with self._gate.hold():
            for talk in list(self._talks):
                talk.is_dismissed = True  # the child lives on, but is not read any more
                self._part(talk)
            for member in self._roster.everyone():
                self._leave(member, in_order=True)
            self._selector.close()
            for sock in (self._bell, self._button):
                sock.close()
            self._entrance.close()
