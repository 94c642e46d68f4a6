"""HTTP, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_celery.serve.answer import Answer, sentence
from otel_celery.serve.protocol import MAX_HEAD, Conversation

if TYPE_CHECKING:
    from collections.abc import Mapping

GET = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"


def answering(method: str, target: str, headers: Mapping[str, str]) -> Answer:
    """Answer with what was understood."""
    return sentence(200, f"{method} {target} {headers.get('accept', '')}")


def told(words: bytes) -> tuple[list[bytes], Conversation]:
    """Say words, and collect the responses until nothing more comes."""
    conversation = Conversation(answering)
    conversation.receive(words)
    responses = []
    while pieces := conversation.advance():
        responses.append(b"".join(pieces))
    return responses, conversation


def test_keep_alive() -> None:
    """After one request over HTTP/1.1 the next one is awaited."""
    (response,), conversation = told(GET)
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.endswith(b"\r\n\r\nGET /metrics \n")
    assert not conversation.over
    assert not conversation.pending


def test_who_does_not_wait_is_answered_once() -> None:
    """Whoever sends a second request before the first is answered is told that the connection ends."""
    responses, conversation = told(GET + GET.replace(b"metrics", b"second"))
    assert [response.rpartition(b"\r\n")[2] for response in responses] == [b"GET /metrics \n"]
    assert b"Connection: close\r\n" in responses[0]
    assert conversation.over


def test_one_request_after_the_other() -> None:
    """Who waits is answered on one connection as often as it asks; an empty line in between is no request."""
    conversation = Conversation(answering)
    for number in range(3):
        conversation.receive(GET.replace(b"metrics", b"%d" % number) + b"\r\n")
        assert b"".join(conversation.advance()).endswith(b"GET /%d \n" % number)
        assert not conversation.over


def test_head_has_the_length_and_no_body() -> None:
    """HEAD is told how long the body would have been."""
    (response,), _ = told(b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert b"Content-Length: 8\r\n" in response
    assert response.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("words", [b"GET / HTTP/1.0\r\n\r\n", GET[:-2] + b"Connection: close\r\n\r\n"])
def test_those_who_do_not_stay(words: bytes) -> None:
    """HTTP/1.0, and who asks for it, is let go after the response."""
    (response,), conversation = told(words)
    assert b"HTTP/1.1 200 OK" in response
    assert conversation.over


def test_repeated_header_is_one_list() -> None:
    """A header sent twice is read as its standard says: joined with a comma."""
    (response,), _ = told(GET[:-2] + b"Accept: a\r\nAccept: b\r\n\r\n")
    assert response.endswith(b"a, b\n")


@pytest.mark.parametrize(
    ("target", "understood"),
    [
        ("http://there:9101/metrics?name[]=a", "/metrics?name[]=a there:9101"),
        ("HTTPS://[::1]/-/ready", "/-/ready [::1]"),
        ("http://there", "/ there"),
        ("http://there?refresh=5", "/?refresh=5 there"),
        ("/http://there/", "/http://there/ here"),
        ("http:///metrics", "http:///metrics here"),
        ("ftp://there/metrics", "ftp://there/metrics here"),
        ("*", "* here"),
    ],
)
def test_a_target_as_for_a_proxy_is_its_path(target: str, understood: str) -> None:
    """Its host is the request's, whatever Host says: who checks the one has checked the other."""
    conversation = Conversation(lambda _, path, headers: sentence(200, f"{path} {headers['host']}"))
    conversation.receive(f"GET {target} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    assert b"".join(conversation.advance()).endswith(f"\r\n\r\n{understood}\n".encode())


def test_an_empty_body_is_none() -> None:
    """Some clients say that nothing follows."""
    (response,), conversation = told(GET[:-2] + b"Content-Length: 0\r\n\r\n")
    assert b"HTTP/1.1 200 OK" in response
    assert not conversation.over


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"GET /metrics HTTP/2.0\r\nHost: here\r\n\r\n", 505),
        (b"HEAD /metrics HTTP/3.0\r\nHost: here\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: here\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: here\r\nBad Name: x\r\n\r\n", 400),
        (GET[:-2] + b"Content-Length: 5\r\n\r\nhello", 413),
        (GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", 413),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (GET[:-2] + b"a:\r\n" * 2_500 + b"\r\n", 431),
        (GET[:-2] + b"a:\r\n" * 2_500, 431),
        (b"\n" * 200, 400),
        (b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"x" * MAX_HEAD, 431),
        (b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"HEAD / HTTP/1.1\r\nHost: here\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\nHost: here\r\n\r\n", 431),
    ],
)
def test_refusals(words: bytes, status: int) -> None:
    """What is no request for us is refused with its status and a line of text, and ends the conversation."""
    (response,), conversation = told(words)
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close\r\n" in response
    assert conversation.over


def test_nonsense_after_a_request() -> None:
    """A good request is answered although nonsense follows, which nobody looks at."""
    responses, conversation = told(GET + b"nonsense\r\n\r\n")
    assert [response[9:12] for response in responses] == [b"200"]
    assert conversation.over


def test_half_a_request_and_an_end() -> None:
    """A client that leaves in the middle is told so, in case it listens."""
    conversation = Conversation(answering)
    conversation.receive(GET[:-2])
    assert conversation.advance() == []
    conversation.receive(b"")
    assert b"".join(conversation.advance()).startswith(b"HTTP/1.1 400 ")
    assert conversation.over


def test_end_between_requests() -> None:
    """A client that goes between two requests ends the conversation without a response."""
    responses, conversation = told(b"")
    assert responses == []
    assert conversation.over


def test_half_a_request_is_pending() -> None:
    """Until a request is complete it is pending, and nothing is said."""
    responses, conversation = told(GET[:-2])
    assert responses == []
    assert conversation.pending


def test_body_is_never_copied() -> None:
    """The piece that is sent is the very object that was answered."""
    body = b"x" * 100_000
    conversation = Conversation(lambda *_: Answer(200, body))
    conversation.receive(GET)
    assert conversation.advance()[1] is body
