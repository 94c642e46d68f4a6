"""The main process's ear: one thread that hears all children, and a fork only ever sees it asleep."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

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
"""How much of one child is read before the others, and a fork, get their turn, in bytes."""

DRAIN_SECONDS = 0.5
"""How long the end of the worker waits for children that do not end."""

JOIN_SECONDS = 1.0


class Listener:
    """Reads what children send into the books."""

    def __init__(  # noqa: PLR0913, PLR0917  each is somebody's to give
        self,
        listening: socket.socket,
        where: Address,
        books: Merged,
        gate: ForkGate,
        lost: Losses,
        failed: Callable[[Exception], None],
    ) -> None:
        """Prepare; children may connect at once, and are heard from :meth:`start` on."""
        self._books = books
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

    def start(self) -> None:
        """Begin to hear children, with what the process may have been patched with since."""
        self._selector.close()
        self._prepare(self._entrance.listening)
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
        """Wait for something to happen, and see to it; a fork may come in between any two things."""
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
        self._knocked()  # whoever knocked before the end is heard out

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
            except OSError as error:  # the kernel has no memory for it: the child comes again
                connection.close()
                self._failed(error)
            else:
                self._talks.add(talk)

    def _dismiss(self, talk: Talk) -> None:
        """End a connection whose child lives on, and lose nothing: what was sent is read, and nothing can be any more.

        So says Linux of a socket that is shut for reading; elsewhere what comes in this very moment may be lost.
        """
        talk.is_dismissed = True
        with contextlib.suppress(OSError):
            talk.connection.shutdown(socket.SHUT_RD)
        while self._hear(talk):
            pass
        self._part(talk)

    def _hear(self, talk: Talk) -> bool:
        """Take what a child has sent, and tell whether there may be more."""
        if talk.is_over:
            return False  # ended since the selector spoke
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
            talk.is_dismissed = True  # a child would begin again, on a new connection
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
            except Exception as error:  # noqa: BLE001  it costs itself: the next frame begins where this one ends
                self._malformed(error)
                talk.odd += 1
                if talk.odd >= MAX_ODD:
                    raise frames.FrameError("too many frames that are none") from None

    def _greet(self, talk: Talk, hello: frames.Hello) -> None:
        member = self._roster.find(hello.name, talk.pid or hello.pid)
        if member.talk is not None:
            self._dismiss(member.talk)  # before: what was sent first is heard first
            member = self._roster.find(hello.name, talk.pid or hello.pid)
        talk.member = member
        self._roster.arrive(member, talk)

    def _understand(self, talk: Talk, message: tuple[Any, ...]) -> None:
        if message[0] == "delta" and talk.member is not None:
            self._books.take(talk.member.number, message[1])
        elif message[0] == "lost":
            self._books.lose(message[1])
        elif message == frames.GOODBYE:
            talk.is_ending = True
        else:
            raise frames.FrameError(f"an unknown message {message[0]!r:.100}")

    def _malformed(self, error: Exception) -> None:
        self._lost(Loss.MALFORMED)
        self._failed(error)

    def _part(self, talk: Talk) -> None:
        """Close a connection, and note what that means for its child."""
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
        self._books.end(member.number, in_order=in_order)

    def _close(self) -> None:
        with self._gate.hold():
            for talk in list(self._talks):
                talk.is_dismissed = True  # it lives on, but is heard no more
                self._part(talk)
            for member in self._roster.everyone():
                self._leave(member, in_order=True)
            self._selector.close()
            for sock in (self._bell, self._button):
                sock.close()
            self._entrance.close()
