"""Frames survive being cut anywhere, and nothing else is taken for one."""

from __future__ import annotations

import struct

import pytest

from otel_celery.relay import frames

MESSAGE = ("delta", [(("shop", None, None, ()), "orders", "", "", "counter", (), [((("a", "\udce9"),), 1)])])


@pytest.mark.parametrize("piece", [1, 2, 7, 10_000])
def test_messages_arrive_whole_however_they_are_cut(piece: int) -> None:
    """Bytes may come one at a time, or several messages at once."""
    sent = frames.frame(frames.HELLO) + frames.frame(MESSAGE) + frames.frame(frames.GOODBYE)
    incoming = frames.Incoming()
    heard = [m for start in range(0, len(sent), piece) for m in incoming.feed(sent[start : start + piece])]
    assert heard == [frames.HELLO, MESSAGE, frames.GOODBYE]
    assert not incoming.is_torn()


def test_a_torn_frame_is_known_and_not_decoded() -> None:
    """What comes before it is heard."""
    incoming = frames.Incoming()
    assert list(incoming.feed(frames.frame(MESSAGE) + frames.frame(MESSAGE)[:-1])) == [MESSAGE]
    assert incoming.is_torn()


@pytest.mark.parametrize(
    "noise",
    [b"GET / HTTP/1.1\r\n\r\n", struct.pack("!I", 3) + b"xyz", struct.pack("!I", 1) + b"N", struct.pack("!I", 0)],
    ids=["http", "garbage", "none", "empty"],
)
def test_what_is_no_frame_is_refused(noise: bytes) -> None:
    """Foreign bytes raise, and nothing comes of them."""
    with pytest.raises(frames.FrameError):
        list(frames.Incoming().feed(noise))


def test_only_plain_values_are_framed() -> None:
    """An object of some class cannot travel."""
    with pytest.raises(ValueError, match="unmarshallable"):
        frames.frame((object(),))
