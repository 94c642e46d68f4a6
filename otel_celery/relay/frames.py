"""What travels between a child and the main process: length-prefixed frames of plain values.

Plain values by :mod:`marshal` rather than OTLP's protobuf, which takes ten times as long: both ends are this package
in one interpreter. Nothing is decoded before the kernel has said that the peer is the same user (see
:mod:`otel_celery.relay.address`), and a frame that was torn by a child's death is never decoded at all.
"""

from __future__ import annotations

import marshal
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.relay.points import Item, Loss

HELLO = ("otel-celery", 1)
"""The first frame of every connection: who speaks, and which version of this module."""

GOODBYE = ("goodbye",)
"""The last frame of a child that ends in order; one that was killed does not send it."""

MAX_FRAME = 16 * 1024 * 1024
"""No frame is longer, in bytes: what claims to be is not ours."""

_HEAD = struct.Struct("!I")


class FrameError(ValueError):
    """What was received is not a frame of ours."""


def frame(message: tuple[Any, ...]) -> bytes:
    """Make a frame of plain values.

    Raises ValueError when they are not plain, or too many.
    """
    body = marshal.dumps(message)
    if len(body) > MAX_FRAME:
        raise ValueError(f"a frame of {len(body)} bytes")
    return _HEAD.pack(len(body)) + body


def delta(items: list[Item]) -> bytes:
    """Make the frame that carries what was recorded since the last one.

    Raises ValueError when it is too much for one.
    """
    return frame(("delta", items))


def lost(losses: list[Loss]) -> bytes:
    """Make the frame that tells what was recorded and cannot be sent."""
    return frame(("lost", losses))


class Incoming:
    """The bytes of one connection, put together to messages again."""

    def __init__(self) -> None:
        """Begin with nothing received."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Any, ...]]:
        """Take bytes, and give each message that is complete with them.

        Raises FrameError when they are no frames.
        """
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer)
            if length > MAX_FRAME:
                raise FrameError(f"a frame of {length} bytes")
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            yield _message(body)

    def is_torn(self) -> bool:
        """Tell whether a frame has begun that is not complete."""
        return bool(self._buffer)


def _message(body: bytes) -> tuple[Any, ...]:
    try:
        message = marshal.loads(body)  # noqa: S302  from a process of the same user alone, like the pool's own pickles
    except (ValueError, EOFError, TypeError) as error:
        raise FrameError(str(error)) from None
    if not isinstance(message, tuple) or not message:
        raise FrameError("not a message")
    return message
