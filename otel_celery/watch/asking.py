"""Ask endpoints over HTTP, each in a task of its own and within a deadline: none that hangs holds up another.

It runs on asyncio, beside whatever else the loop does, and never blocks it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

from otel_celery.masking import reason
from otel_celery.pools import client
from otel_celery.settings.credentials import UnusableError
from otel_celery.watch.endpoints import METRICS, EndpointError

if TYPE_CHECKING:
    from otel_celery.settings.settings import Port
    from otel_celery.watch.endpoints import Endpoint

OK, NOT_FOUND = 200, 404
MOST = 64 * 1024 * 1024
"""Bytes of an answer at most."""
CHUNK = 256 * 1024
ACCEPT = b"text/plain;version=0.0.4"
MEANINGS = {
    401: "it wants other credentials",
    403: "it wants other credentials",
    NOT_FOUND: "there is nothing at this path",
}
SENTENCES: dict[type[Exception], str] = {
    ConnectionRefusedError: "the connection is refused; nothing listens there",
    ConnectionResetError: "the connection was cut off; what listens there may not speak HTTP",
    ssl.SSLCertVerificationError: "its certificate is not trusted: {reason}",
    ssl.SSLError: "TLS fails: {reason}",
    socket.gaierror: "its host's name is not known",
    h11.RemoteProtocolError: "what answers does not speak HTTP as expected: {reason}",
}
"""Why there is no answer, by the first class that fits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said: its body, or the reason why there is none."""

    body: str = ""
    why: str = ""
    """One sentence without a full stop; empty if it answered with status 200."""
    is_foreign: bool = False
    """Whether it cannot be a port of ours: those have metrics at their path, whatever else is wrong."""


class Asker:
    """Asks any number of endpoints with the credentials and TLS files of one environment."""

    def __init__(self, port: Port, identity: client.Identity, timeout: float) -> None:
        """Give each endpoint ``timeout`` seconds in all; ``port`` is a worker's Port in this environment.

        Raises EndpointError if a file of credentials or certificates cannot be used.
        """
        self._timeout = timeout
        self._identity = identity
        self._authority = identity.authority or (port.tls.certificate if port.tls else None)
        self._contexts: dict[bool, ssl.SSLContext] = {}
        try:
            self._authorisation = client.authorisation(port).get("Authorization", b"")
            if identity.certificate is not None or self._authority is not None:
                self._context("localhost")
        except (OSError, UnusableError) as error:
            raise EndpointError(f"the credentials, or the TLS files, cannot be used: {reason(error)}") from None

    async def ask(self, endpoint: Endpoint) -> Answer:
        """Ask one endpoint; whatever goes wrong is the answer's ``why``."""
        try:
            status, body = await asyncio.wait_for(self._exchange(endpoint), self._timeout)
        except (asyncio.TimeoutError, OSError, h11.RemoteProtocolError, TooMuchError, ValueError) as error:
            return Answer(why=self._why(error))
        if status != OK:
            why = f"HTTP {status}" + (f"; {MEANINGS[status]}" if status in MEANINGS else "")
            return Answer(why=why, is_foreign=status == NOT_FOUND and endpoint.path.partition("?")[0] == METRICS)
        return Answer(body)

    async def _exchange(self, endpoint: Endpoint) -> tuple[int, str]:
        context = self._context(endpoint.host) if endpoint.is_tls else None
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.number, ssl=context, limit=CHUNK)
        try:
            conversation = h11.Connection(h11.CLIENT)
            writer.write(conversation.send(self._request(endpoint)) or b"")
            conversation.send(h11.EndOfMessage())
            return await _response(conversation, reader)
        finally:
            writer.transport.abort()  # nothing more is expected: no farewell that could hang

    def _request(self, endpoint: Endpoint) -> h11.Request:
        authorisation = endpoint.authorisation or self._authorisation
        headers = [
            (b"Host", endpoint.address.encode("idna" if not endpoint.address.isascii() else "ascii")),
            (b"Accept", ACCEPT),
            (b"Connection", b"close"),
        ]
        if authorisation:
            headers.append((b"Authorization", authorisation))
        return h11.Request(method=b"GET", target=endpoint.path.encode("ascii"), headers=headers)

    def _context(self, host: str) -> ssl.SSLContext:
        is_loopback = client.is_loopback(host)
        if is_loopback not in self._contexts:
            self._contexts[is_loopback] = client.context(host, self._authority, self._identity)
        return self._contexts[is_loopback]

    def _why(self, error: Exception) -> str:
        """Say in words why there is no answer."""
        if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
            return f"no answer within {self._timeout:g} s"
        for kind, sentence in SENTENCES.items():
            if isinstance(error, kind):
                return sentence.format(reason=reason(error))
        return reason(error)


class TooMuchError(Exception):
    """An endpoint's answer is larger than MOST."""

    def __str__(self) -> str:
        """Say it."""
        return f"its answer is larger than {MOST >> 20} MB"


async def _response(conversation: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, str]:
    """Read a whole response."""
    status, size, parts = 0, 0, list[bytes]()
    while True:
        event = conversation.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(CHUNK)
            if not (data or status or conversation.trailing_data[0]):
                raise ConnectionResetError  # h11 would tell of its own states
            conversation.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
            size += len(event.data)
            if size > MOST:
                raise TooMuchError
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return status, b"".join(parts).decode("utf-8", "replace")
