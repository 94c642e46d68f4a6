"""Frames survive being cut anywhere, and nothing else is taken for one."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_celery.relay.wire import frames

ITEM = (("shop", None, None, ()), "orders", "", "", "counter", (), [((("a", "\xe9"),), 1)])

MESSAGE = ("delta", [ITEM])

SECRET = bytes(range(frames.SECRET_SIZE))

HELLO = frames.Hello(b"n" * frames.NAME_SIZE, 7)


@pytest.mark.parametrize("piece", [1, 2, 7, 10_000])
def test_messages_arrive_whole_however_they_are_cut(piece: int) -> None:
    """Bytes may come one at a time, or several messages at once."""
    sent = frames.delta(ITEM) + frames.frame(frames.GOODBYE)
    incoming = frames.Incoming()
    bodies = [body for start in range(0, len(sent), piece) for body in incoming.feed(sent[start : start + piece])]
    assert list(map(frames.message, bodies)) == [MESSAGE, frames.GOODBYE]
    assert not incoming.is_torn()


def test_a_torn_frame_is_known_and_not_given() -> None:
    """What comes before it is heard."""
    incoming = frames.Incoming()
    bodies = list(incoming.feed(frames.delta(ITEM) + frames.delta(ITEM)[:-1]))
    assert list(map(frames.message, bodies)) == [MESSAGE]
    assert incoming.is_torn()


def test_a_frame_that_claims_too_much_is_refused() -> None:
    """Foreign bytes raise, and nothing comes of them."""
    with pytest.raises(frames.FrameError):
        list(frames.Incoming().feed(b"GET / HTTP/1.1\r\n\r\n"))


class Decoder:
    """Stands in for the decoder."""

    def __init__(self, error: Exception | None = None) -> None:
        """Raise this, if anything; whoever decodes fails the test else."""
        self.error = error or AssertionError("something was decoded")

    def loads(self, _: bytes) -> None:
        """Fail."""
        raise self.error


HEAD = b'["delta",[["s",null,null,"[]"],"c","","","counter",[],'


@pytest.mark.parametrize(
    "body",
    [
        *(b"xyz", b"null", b"", b"[]", b"{}", b'"delta"', b'["delta"]', b'["delta",7]', b"\xff\n"),
        *(HEAD + b"0,0,[]]]", HEAD + b'1,2,["q"]]]\n[]', HEAD + b'1,2,["q"]]]\n[]' + bytes(16)),
        *(HEAD + b'1,2,["x"]]]\n[]' + bytes(8), HEAD + b'1,2,["u"]]]\n[]' + bytes(8), HEAD + b"2,2,[[1]]]]\n[]"),
        *(HEAD + b"1,2,[[1,2]]]]\n[]", HEAD + b"501,2,[[1]]]]\n[]", HEAD + b'-1,2,["q"]]]\n[]'),
        HEAD + b'1,2,["q"]]]\n[[' + bytes(8),
        *(HEAD.replace(b'"[]"', other) + b"1,2,[[1]]]]\n[]" for other in (b"7", b"[]", b'"{"', b'"[[1,{}]]"')),
    ],
)
def test_what_cannot_be_decoded_is_malformed_input(body: bytes) -> None:
    """Garbage, and what is no message; an item that says of itself what does not hold."""
    with pytest.raises(frames.FrameError):
        frames.message(body)


@pytest.mark.parametrize("error", [MemoryError(), OverflowError(), RecursionError(), SystemError(), UnicodeError()])
def test_every_exception_of_the_decoder_is_malformed_input(error: Exception, monkeypatch) -> None:
    """Whatever it is, that is one more malformed frame."""
    monkeypatch.setattr(frames, "json", Decoder(error))
    with pytest.raises(frames.FrameError, match=type(error).__name__):
        frames.message(b"whatever")


HISTOGRAM = HEAD.replace(b"counter", b"histogram").replace(b"[],", b"[" + b"1," * 9_999 + b"1],")


@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 5_000, b"(\xff\xff\xff\x0b", b"[" * 100_000, b'["delta",' * 10_000, b'{"a":' * 10_000),
        *(b"[" + b"[]," * 100_000 + b"1]", b"[" + b"9" * 100_000 + b"]", HEAD + b'999999999,2,["q"]]]\n[]'),
        *(HEAD + b'1e300,2,["q"]]]\n[]', HEAD + b'true,2,[["1"]]]]\n[]', HISTOGRAM + b'500,2,["d","q"]]]\n[]'),
        HEAD + b"1,2,[" + b'"q",' * 9_999 + b'"q"]]]\n[]',
        HEAD.replace(b'"[]"', b'"' + b"[" * 9_999 + b'"') + b'1,2,["q"]]]\n[]' + bytes(8),
    ],
    ids=range(13),
)
def test_f79_a_frame_costs_no_more_than_it_is_long(body: bytes) -> None:
    """Nine bytes of marshal cost gigabytes, and five thousand stopped the process for minutes."""
    tracemalloc.start()
    try:
        with contextlib.suppress(frames.FrameError):
            frames.message(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000 + 100 * len(body)


NUMBERS = st.integers() | st.floats()

VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=9) | st.binary(max_size=9)

NESTED = VALUES | st.lists(VALUES, max_size=3).map(tuple) | st.dictionaries(st.text(max_size=9), VALUES, max_size=3)

LABELS = st.dictionaries(st.text(max_size=9), NESTED, max_size=3).map(lambda made: tuple(made.items()))

COUNTS = st.tuples(*[st.integers(0, 2**65)] * 3)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(LABELS, NUMBERS), min_size=1, max_size=9))
def test_what_is_sent_is_what_arrives(told: Any) -> None:
    """Numbers of any size and kind, and labels of any type that is plain."""
    item: Any = (("s", None, "u", (("a", b"b"),)), "name", "s", "", "counter", (), told)
    (sent,) = frames.Incoming().feed(frames.delta(item))
    assert repr(frames.message(sent)) == repr(("delta", [item]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(LABELS, NUMBERS, NUMBERS, NUMBERS, COUNTS), min_size=1, max_size=9))
def test_histograms_are_what_they_were(told: Any) -> None:
    """Each point has its own buckets."""
    item: Any = (("s", None, None, ()), "name", "s", "", "histogram", (1, 2.5), told)
    (sent,) = frames.Incoming().feed(frames.delta(item))
    assert repr(frames.message(sent)) == repr(("delta", [item]))


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
    monkeypatch.setattr(frames, "json", Decoder())
    with pytest.raises(frames.FrameError):
        frames.greeting(noise, SECRET)


def test_only_plain_values_are_framed() -> None:
    """An object of some class cannot travel."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        frames.frame((object(),))
