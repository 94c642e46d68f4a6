"""One connection to the main process: who is at the other end, its greeting, its frames, and when it was last heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.relay.wire import frames

if TYPE_CHECKING:
    import socket

HELLO_SECONDS = 5.0
"""How long a connection may take over its greeting."""

STALL_SECONDS = 1.0
"""A connection in the middle of a frame is spared for so long after its last byte."""


MAX_ODD = 100
"""How many frames of one connection may be none before it is ended: our own children send no such frame."""


@dataclass(eq=False, slots=True)
class Member:
    """One child."""

    name: bytes
    number: int
    """What the books know it by; no other ever has it."""
    pid: int
    talk: Talk | None = None
    began: bytes | None = None
    """When its process began, in the kernel's own measure, since a process id may be given again."""
    is_torn: bool = False
    """Whether its last connection ended in the middle of a frame, which it sends again if it lives."""
    is_gone: bool = False
    """Whether its process was gone when it was looked after last."""


class Talk:
    """What the main process knows of one connection."""

    def __init__(self, connection: socket.socket, pid: int, now: float) -> None:
        """Begin without a greeting; ``pid`` is what the kernel says, or 0, and ``now`` on the monotonic clock."""
        self.connection = connection
        self.pid = pid
        self.member: Member | None = None
        """The child that greeted."""
        self.incoming = frames.Incoming()
        self.odd = 0
        """How many of its frames were none."""
        self.greeting = b""
        """What has come of a greeting that is not whole."""
        self.opened_at = self.heard_at = now
        self.is_ending = False
        """Whether the child has said goodbye."""
        self.is_dismissed = False
        """Whether it is we who end it, and the child will come back when it has something to say."""
        self.is_over = False

    def greeted(self, data: bytes, secret: bytes) -> tuple[frames.Hello, bytes] | None:
        """Take the first bytes, and give the greeting and what follows it once it is whole.

        Raises FrameError when it is none.
        """
        self.greeting += data
        return frames.greeting(self.greeting, secret)

    def is_late(self, now: float) -> bool:
        """Tell whether its greeting has taken too long."""
        return self.member is None and now >= self.opened_at + HELLO_SECONDS

    def claim(self, now: float) -> tuple[bool, float]:
        """Rank it among those that may have to give way: the least goes first, which is the longest idle."""
        return (self.incoming.is_torn() and now < self.heard_at + STALL_SECONDS, self.heard_at)
