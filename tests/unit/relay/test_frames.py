"""Frames survive being cut anywhere, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from otel_celery.relay import frames

MESSAGE = ("delta", [(("shop", None, None, ()), "orders", "", "", "counter", (), [((("a", "\udce9"),), 1)])])


SECRET = bytes(range(frames.SECRET_SIZE))

HELLO = frames.Hello(b"n" * frames.NAME_SIZE, 7)


@pytest.mark.parametrize("piece", [1, 2, 7, 10_000])
def test_messages_arrive_whole_however_they_are_cut(piece: int) -> None:
    """Bytes may come one at a time, or several messages at once."""
    sent = frames.frame(MESSAGE) + frames.frame(frames.GOODBYE)
    incoming = frames.Incoming()
    bodies = [body for start in range(0, len(sent), piece) for body in incoming.feed(sent[start : start + piece])]
    assert list(map(frames.message, bodies)) == [MESSAGE, frames.GOODBYE]
    assert not incoming.is_torn()


def test_a_torn_frame_is_known_and_not_given() -> None:
    """What comes before it is heard."""
    incoming = frames.Incoming()
    bodies = list(incoming.feed(frames.frame(MESSAGE) + frames.frame(MESSAGE)[:-1]))
    assert list(map(frames.message, bodies)) == [MESSAGE]
    assert incoming.is_torn()


def test_a_frame_that_claims_too_much_is_refused() -> None:
    """Foreign bytes raise, and nothing comes of them."""
    with pytest.raises(frames.FrameError):
        list(frames.Incoming().feed(b"GET / HTTP/1.1\r\n\r\n"))


class Decoder:
    """Stands in for marshal, whose worst inputs cost gigabytes."""

    def __init__(self, error: Exception | None = None) -> None:
        """Raise this, if anything; whoever decodes fails the test else."""
        self.error = error or AssertionError("something was decoded")

    def loads(self, _: bytes) -> None:
        """Fail."""
        raise self.error


@pytest.mark.parametrize("body", [b"xyz", b"N", b"", b"(\xff\xff\xff\xff", b"\xa9\x01r\x05\0\0\0"])
def test_what_cannot_be_decoded_is_malformed_input(body: bytes) -> None:
    """Garbage, and what is no message."""
    with pytest.raises(frames.FrameError):
        frames.message(body)


@pytest.mark.parametrize("error", [MemoryError(), OverflowError(), RecursionError(), SystemError(), UnicodeError()])
def test_every_exception_of_the_decoder_is_malformed_input(error: Exception, monkeypatch) -> None:
    """Nine bytes may ask for gigabytes; where there are none that is one more malformed frame."""
    monkeypatch.setattr(frames, "marshal", Decoder(error))
    with pytest.raises(frames.FrameError, match=type(error).__name__):
        frames.message(b"whatever")


def test_a_greeting_is_read_however_it_is_cut_and_gives_what_follows() -> None:
    """It is of one size, and nothing is told before it is whole."""
    sent = HELLO.pack(SECRET)
    assert len(sent) < 64
    assert [frames.greeting(sent[:length], SECRET) for length in range(len(sent))] == [None] * len(sent)
    assert frames.greeting(sent + b"rest", SECRET) == (HELLO, b"rest")


@pytest.mark.parametrize(
    "noise", [b"G", b"GET / HTTP/1.1\r\n\r\n", b"otel-celery/1", HELLO.pack(b"x" * frames.SECRET_SIZE), bytes(9)]
)
def test_what_is_no_greeting_is_refused_at_its_first_wrong_byte(noise: bytes, monkeypatch) -> None:
    """Another program, another version, and a process that does not know the secret; none of it is decoded."""
    monkeypatch.setattr(frames, "marshal", Decoder())
    with pytest.raises(frames.FrameError):
        frames.greeting(noise, SECRET)


def test_only_plain_values_are_framed() -> None:
    """An object of some class cannot travel."""
    with pytest.raises(ValueError, match="unmarshallable"):
        frames.frame((object(),))
