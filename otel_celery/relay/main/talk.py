"""One connection from a child: its greeting, its frames, its child, and when it was last read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.relay.wire import frames

if TYPE_CHECKING:
    import socket

HELLO_SECONDS = 5.0
"""Seconds in which a connection must have sent its greeting."""

STALL_SECONDS = 1.0
"""Seconds after its last byte for which a connection in the middle of a frame is not evicted."""


MAX_ODD = 100
"""Invalid frames of one connection, at most, before it is closed; our own children send none."""


@dataclass(eq=False, slots=True)
class Member:
    """One child of the worker."""

    name: bytes
    number: int
    """Its key in the merged metrics, which no other child ever has."""
    pid: int
    talk: Talk | None = None
    began: bytes | None = None
    """When its process began, in the kernel's own measure, since process ids are reused."""
    is_torn: bool = False
    """Whether its last connection ended in the middle of a frame; a living child sends that frame again."""
    is_gone: bool = False
    """Whether its process was gone at the last check."""


class Talk:
    """The state of one connection."""

    def __init__(self, connection: socket.socket, pid: int, now: float) -> None:
        """Begin without a greeting; ``pid`` is from the kernel, or 0; ``now`` is on the monotonic clock."""
        self.connection = connection
        self.pid = pid
        self.member: Member | None = None
        """The child, once it has sent its greeting."""
        self.incoming = frames.Incoming()
        self.odd = 0
        """The number of its invalid frames."""
        self.greeting = b""
        """The first bytes of a greeting that is incomplete."""
        self.opened_at = self.heard_at = now
        self.is_ending = False
        """Whether the child has said goodbye."""
        self.is_dismissed = False
        """Whether the main process closes it; the child connects again when it has something to send."""
        self.is_over = False

    def greeted(self, data: bytes, secret: bytes) -> tuple[frames.Hello, bytes] | None:
        """Take the first bytes; return the greeting and the bytes after it, or None while it is incomplete.

        Raises FrameError if it is no greeting.
        """
        self.greeting += data
        return frames.greeting(self.greeting, secret)

    def is_late(self, now: float) -> bool:
        """Tell whether the greeting has taken too long."""
        return self.member is None and now >= self.opened_at + HELLO_SECONDS

    def claim(self, now: float) -> tuple[bool, float]:
        """Return a sort key for eviction: the connection with the least, which is the longest idle, goes first."""
        return (self.incoming.is_torn() and now < self.heard_at + STALL_SECONDS, self.heard_at)
