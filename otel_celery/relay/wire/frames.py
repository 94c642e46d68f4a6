"""The messages between a child and the main process: a greeting of fixed size, then length-prefixed frames.

The greeting is compared and never decoded; it carries the secret that only this worker's own processes know. The frames
are plain values rather than OTLP's protobuf, which takes ten times as long: both ends are this package in one
interpreter (see :mod:`otel_celery.relay.wire.columns`). A frame that a child's death cut off is never decoded.
"""

from __future__ import annotations

import hmac
import json
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_celery.relay.wire import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_celery.relay.wire.points import Item, Loss

MAGIC = b"otel-celery/3\n"
"""Identifies this protocol and its version; a connection that begins otherwise is closed."""

SECRET_SIZE = 16
NAME_SIZE = 16

GOODBYE = ("goodbye",)
"""The last frame of a child that ends in order; one that was killed does not send it."""

MAX_FRAME = 4 * 1024 * 1024
"""Longest frame, in bytes; a longer one is not ours."""

_HEAD = struct.Struct("!I")

_HELLO = struct.Struct(f"!{len(MAGIC)}s{SECRET_SIZE}s{NAME_SIZE}sI")


class FrameError(ValueError):
    """The bytes received are not a greeting or a frame of ours."""


class Hello(NamedTuple):
    """The greeting that begins every connection; it identifies the child across its connections."""

    name: bytes
    """NAME_SIZE random bytes, a child's own for as long as it lives."""
    pid: int

    def pack(self, secret: bytes) -> bytes:
        """Encode the greeting."""
        return _HELLO.pack(MAGIC, secret, self.name, self.pid)


def greeting(data: bytes, secret: bytes) -> tuple[Hello, bytes] | None:
    """Decode the greeting at the start of these bytes; return it with the bytes after it, or None while incomplete.

    Raises FrameError as soon as the bytes cannot be a greeting.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise FrameError("another program speaks, or another version")
    if len(data) < _HELLO.size:
        return None
    _, given, name, pid = _HELLO.unpack_from(data)
    if not hmac.compare_digest(given, secret):
        raise FrameError("a process speaks that does not belong to this worker")
    return Hello(name, pid), data[_HELLO.size :]


def frame(message: tuple[Any, ...], rest: bytes = b"") -> bytes:
    """Encode a frame of plain values, and of bytes that follow them.

    Raises TypeError, ValueError or RecursionError if the values are not plain, or the frame is too long.
    """
    line = columns.write(message).encode()
    length = len(line) + 1 + len(rest)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    return b"".join((_HEAD.pack(length), line, b"\n", rest))


def delta(item: Item) -> bytes:
    """Encode the frame with the points of one instrument since its last delta.

    Raises as :func:`frame` does.
    """
    head, rest = columns.pack(item)
    return frame(("delta", head), rest)


def lost(losses: list[Loss]) -> bytes:
    """Encode the frame that reports points that cannot be sent."""
    return frame(("lost", losses))


class Incoming:
    """Splits the bytes of one connection, after its greeting, into frames."""

    def __init__(self) -> None:
        """Begin with an empty buffer."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, and yield the body of each frame that they complete; :func:`message` decodes it.

        Raises FrameError if a frame is too long.
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
            yield body

    def is_torn(self) -> bool:
        """Tell whether a frame has begun that is not complete."""
        return bool(self._buffer)


def message(body: bytes) -> tuple[Any, ...]:
    """Decode the body of a frame.

    Raises FrameError if it is malformed.
    """
    line, _, rest = body.partition(b"\n")
    try:
        kind, *told = _listed(json.loads(line))
        return (kind, [columns.unpack(told[0], rest)]) if kind == "delta" else (kind, *told)
    except Exception as error:  # noqa: BLE001  MemoryError and RecursionError among them
        raise FrameError(f"{type(error).__name__}: {error}"[:200]) from None


def _listed(found: Any) -> list[Any]:
    if type(found) is not list:
        raise TypeError("not a message")
    return found
