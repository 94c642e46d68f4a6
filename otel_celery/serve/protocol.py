"""HTTP as a conversation of bytes: h11 parses, nothing here touches a socket."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from otel_celery.serve.site import Answer, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Answering = Callable[[str, str, Mapping[str, str]], Answer]

MAX_HEAD = 16 * 1024
"""The bytes that a request's head may have."""


class Conversation:
    """One client's requests and our answers, in turn: a pipelined request waits until the one before it is answered."""

    def __init__(self, answering: Answering) -> None:
        """Ask ``answering`` for the answer to each request."""
        self._answering = answering
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._request: h11.Request | None = None
        self.over = False
        """Nothing more will be answered: close once everything is sent."""

    @property
    def pending(self) -> bool:
        """Tell whether a request has begun and is not complete."""
        return self._request is not None or bool(self._http.trailing_data[0])

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; none at all means that it will send no more."""
        self._http.receive_data(data)

    def advance(self) -> list[bytes]:
        """Return the pieces of the next response; none if a request is not complete, or all is over."""
        if self.over:
            return []
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        try:
            request = self._next_request()
        except h11.RemoteProtocolError as error:
            return self._refuse(sentence(error.error_status_hint, str(error)))
        if request is None:
            return []
        if not request.http_version.startswith(b"1."):
            return self._refuse(sentence(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"))
        return self._respond(self._answering(*_plain(request)))

    def _next_request(self) -> h11.Request | None:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._request = event
                if _size(event) > MAX_HEAD:
                    raise h11.RemoteProtocolError("the request's head is too long", error_status_hint=431)
                if not event.http_version.startswith(b"1."):
                    return event
            elif isinstance(event, h11.EndOfMessage):
                return self._request
            elif not isinstance(event, h11.Data):
                self.over = isinstance(event, h11.ConnectionClosed)
                return None

    def _refuse(self, answer: Answer) -> list[bytes]:
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
        self._http.send_with_data_passthrough(h11.Data(data=body))  # counts its length, and would return it as it is
        self._http.send(h11.EndOfMessage())
        self._request = None
        self.over = self._http.our_state is not h11.DONE
        return [piece for piece in (head, body) if piece]


def _size(request: h11.Request) -> int:
    return len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)


def _plain(request: h11.Request) -> tuple[str, str, Mapping[str, str]]:
    headers: dict[str, str] = {}
    for raw, value in request.headers:
        name, text = raw.decode("ascii"), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return request.method.decode("ascii"), request.target.decode("latin-1"), headers
