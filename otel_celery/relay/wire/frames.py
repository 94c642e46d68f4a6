"""What travels between a child and the main process: a greeting of fixed size, and length-prefixed frames after it.

The greeting is compared and never decoded; it carries the secret that only this worker's own processes were told. The
frames are plain values rather than OTLP's protobuf, which takes ten times as long: both ends are this package in one
interpreter (see :mod:`otel_celery.relay.wire.columns`). A frame that was torn by a child's death is never decoded.
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
"""Who speaks, and which version of this module; what begins otherwise is not listened to any further."""

SECRET_SIZE = 16
NAME_SIZE = 16

GOODBYE = ("goodbye",)
"""The last frame of a child that ends in order; one that was killed does not send it."""

MAX_FRAME = 4 * 1024 * 1024
"""No frame is longer, in bytes: what claims to be is not ours."""

_HEAD = struct.Struct("!I")

_HELLO = struct.Struct(f"!{len(MAGIC)}s{SECRET_SIZE}s{NAME_SIZE}sI")


class FrameError(ValueError):
    """What was received is not a greeting or a frame of ours."""


class Hello(NamedTuple):
    """The first bytes of every connection: which child speaks, on this connection as on its earlier ones."""

    name: bytes
    """NAME_SIZE random bytes, a child's own for as long as it lives."""
    pid: int

    def pack(self, secret: bytes) -> bytes:
        """Make what is sent."""
        return _HELLO.pack(MAGIC, secret, self.name, self.pid)


def greeting(data: bytes, secret: bytes) -> tuple[Hello, bytes] | None:
    """Read the greeting that all these bytes begin with, and give it with what follows; None while it is not whole.

    Raises FrameError as soon as it can be no greeting.
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
    """Make a frame of plain values, and of bytes that follow them.

    Raises TypeError, ValueError or RecursionError when they are not plain, or too many.
    """
    line = columns.write(message).encode()
    length = len(line) + 1 + len(rest)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    return b"".join((_HEAD.pack(length), line, b"\n", rest))


def delta(item: Item) -> bytes:
    """Make the frame that carries what was recorded of an instrument since the last one.

    Raises as :func:`frame` does.
    """
    head, rest = columns.pack(item)
    return frame(("delta", head), rest)


def lost(losses: list[Loss]) -> bytes:
    """Make the frame that tells what was recorded and cannot be sent."""
    return frame(("lost", losses))


class Incoming:
    """The bytes of one connection after its greeting, put together to frames again."""

    def __init__(self) -> None:
        """Begin with nothing received."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, and give the body of each frame that is complete with them; :func:`message` decodes it.

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
            yield body

    def is_torn(self) -> bool:
        """Tell whether a frame has begun that is not complete."""
        return bool(self._buffer)


def message(body: bytes) -> tuple[Any, ...]:
    """Decode the body of a frame.

    Raises FrameError for whatever the decoder raises, and for what is no message.
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
