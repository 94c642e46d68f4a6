"""HTTP/1.x on bytes, without sockets: parse a client's requests with h11, and encode the answers."""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from otel_celery.serve.answer import Answer, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Answering = Callable[[str, str, Mapping[str, str]], Answer]

MAX_HEAD = 16 * 1024
"""Bytes of a request's head at most."""

MAX_LINES = 100
"""Lines of a request's head at most: a line takes us longer to parse than any client to send."""

_END = re.compile(rb"\n\r?\n")

_ABSOLUTE = re.compile(r"https?://([^/?#]+)(.*)", re.IGNORECASE)
"""A target as it is sent to a proxy, which every server has to understand too (RFC 9112, section 3.2.2)."""


class Conversation:
    """One client's requests and our answers, in turn.

    The loop shares the GIL with the thread that hands tasks to the pool, so parsing is kept small. A head is parsed
    once it is complete, if it is not too large; a request with a body is refused; and a client that sends a second
    request before the first is answered gets one answer, and is disconnected.
    """

    def __init__(self, answering: Answering) -> None:
        """Call ``answering`` with the method, target and headers of each request."""
        self._answering = answering
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._heard = bytearray()
        self._searched = 0
        self._ended = False
        self._request: h11.Request | None = None
        self.over = False
        """Whether no further request is answered; the connection closes once everything is sent."""

    @property
    def pending(self) -> bool:
        """Tell whether a request has begun and is not complete."""
        return bool(self._heard)

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; empty bytes mean the end of its stream."""
        self._ended = self._ended or not data
        self._heard += data

    def advance(self) -> list[bytes]:
        """Return the pieces of the next response; none if no request is complete, or the conversation is over."""
        if self.over:
            return []
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        try:
            self._request = self._next_request()
        except h11.RemoteProtocolError as error:
            return self._respond_last(sentence(error.error_status_hint, str(error)))
        if self._request is None:
            self.over = self._ended
            return []
        if not self._request.http_version.startswith(b"1."):
            return self._respond_last(sentence(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"))
        answer = self._answering(*_plain(self._request))
        return self._respond_last(answer) if self._heard else self._respond(answer)

    def _next_request(self) -> h11.Request | None:
        head = self._next_head()
        if head is None:
            return None
        self._http.receive_data(head)
        request = self._http.next_event()
        if not isinstance(request, h11.Request):
            return None
        self._request = request  # _respond looks at it: a refused HEAD gets no body either
        if request.http_version.startswith(b"1."):
            if _has_body(request):
                raise h11.RemoteProtocolError("a request has no body here", error_status_hint=413)
            self._http.next_event()  # h11.EndOfMessage
        return request

    def _next_head(self) -> bytes | None:
        """Cut a complete head off the received bytes, with the empty lines that some clients send between requests."""
        end = _END.search(self._heard, max(0, self._searched - 2))
        self._searched = len(self._heard)
        length = end.end() if end else self._searched
        if length > MAX_HEAD or self._heard.count(b"\n", 0, length) > MAX_LINES:
            raise h11.RemoteProtocolError("the request's head is too long", error_status_hint=431)
        if end is None:
            if self._heard and (self._ended or self._heard[0] <= ord(" ")):
                raise h11.RemoteProtocolError("this is no request")
            return None
        head = bytes(self._heard[:length])
        self._heard = self._heard[length:].lstrip(b"\r\n")
        self._searched = 0
        return head

    def _respond_last(self, answer: Answer) -> list[bytes]:
        pieces = self._respond(answer, ("Connection", "close"))
        self.over = True
        return pieces

    def _respond(self, answer: Answer, *more: tuple[str, str]) -> list[bytes]:
        headers = [
            ("Date", formatdate(usegmt=True)),
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            *answer.headers,
            *more,
        ]
        reason = HTTPStatus(answer.status).phrase
        bodiless = self._request is not None and self._request.method == b"HEAD"
        body = b"" if bodiless else answer.body
        head = self._http.send(h11.Response(status_code=answer.status, headers=headers, reason=reason.encode()))
        self._http.send_with_data_passthrough(h11.Data(data=body))  # h11 only counts the body's length
        self._http.send(h11.EndOfMessage())
        self.over = self._http.our_state is not h11.DONE
        return [piece for piece in (head, body) if piece]


def _has_body(request: h11.Request) -> bool:
    """Tell whether the request has a body; h11 has checked that Content-Length is a number."""
    headers = dict(request.headers)
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0") != b""


def _plain(request: h11.Request) -> tuple[str, str, Mapping[str, str]]:
    headers: dict[str, str] = {}
    for raw, value in request.headers:
        name, text = raw.decode("ascii"), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    target = request.target.decode("latin-1")
    if not target.startswith("/") and (absolute := _ABSOLUTE.fullmatch(target)):
        headers["host"], rest = absolute.groups()  # by the RFC it counts in the place of Host: so it is checked as that
        target = rest if rest.startswith("/") else f"/{rest}"
    return request.method.decode("ascii"), target, headers
