"""Send OTLP's requests with Python's own HTTP client, in place of requests.

requests and what it brings take 3 MiB, which each pool child pays for that sends spans. OpenTelemetry's exporters of
http/protobuf let another transport stand in, and keep what is theirs: encoding, headers, compression, retries and log
lines. Each request has a connection of its own, so that no fork inherits one, and certificates that were renewed are
used at once. Where the environment or the URL asks for what requests alone knows, requests it is.
"""

from __future__ import annotations

import inspect
import io
import ssl
import time
from base64 import b64encode
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

from opentelemetry.exporter.http.transport._base import BaseHTTPResult, BaseHTTPTransport

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from otel_celery.settings.otlp import Otlp

ARGUMENT = "_transport"
"""The exporters' argument for a transport; in a release without it they send by requests."""

LONGEST = 3600.0
"""Seconds for a request without a timeout; the exporters always give one."""

MAX_BODY = 64 * 1024
"""Bytes of an answer's body at most. It is read so that the collector can finish, and not looked at."""

_WHOLE = "!#$%&'()*+,/:;=?@[]~"
"""What is not encoded in a URL's path and query: they may be encoded already."""


def argument(otlp: Otlp, kind: Any) -> dict[str, Any]:
    """Return the argument that has an exporter of this class send by our transport; none where it needs requests."""
    if not otlp.is_direct or ARGUMENT not in inspect.signature(kind).parameters:
        return {}
    return {ARGUMENT: Transport(otlp)}


@dataclass(frozen=True, slots=True)
class Result(BaseHTTPResult):
    """The collector's answer, without its body, or what failed."""

    message: HTTPMessage = field(default_factory=HTTPMessage)
    """The answer's headers."""

    def content(self) -> bytes:
        """Return nothing: an answer's body is not kept."""
        return b""

    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers, by names in any case."""
        return cast("Mapping[str, str]", self.message)


class Transport(BaseHTTPTransport):
    """Sends requests to one collector, each over its own connection, and keeps each of them to its timeout."""

    def __init__(self, otlp: Otlp) -> None:
        """Use these certificates; they are read at each request."""
        self._authorities = otlp.certificate or otlp.bundle
        if self._authorities is None and otlp.endpoint.startswith("https:"):
            self._authorities = _usual_authorities()
        self._chain = otlp.client_certificate, otlp.client_key

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        data: bytes | None = None,
    ) -> BaseHTTPResult:
        """Send a request and return the answer; ``timeout`` bounds the whole of it, in seconds."""
        until = time.monotonic() + (LONGEST if timeout is None else timeout)
        to = urlsplit(url)
        try:
            with closing(self._connection(to, until)) as connection:
                connection.connect()
                with connection.sock as sock:
                    connection.sock = _Bounded(sock, until)
                    with suppress(BrokenPipeError, ConnectionResetError):  # an answer may come before all is sent
                        connection.request(method, _target(to), data, {**(headers or {}), **_authorization(to)})
                    answer = connection.getresponse()
                    with suppress(OSError, HTTPException):  # else the collector would see the connection reset
                        answer.read(MAX_BODY)
                    return Result(answer.status, answer.reason, message=answer.headers)
        except Exception as error:  # noqa: BLE001  the exporter says why, and whether it tries again
            return Result(error=error)

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def is_connection_error(self, exception: Exception | None) -> bool:
        """Tell whether a request failed on its way, and another may succeed."""
        return isinstance(exception, (OSError, HTTPException))

    def _connection(self, to: SplitResult, until: float) -> HTTPConnection:
        """Make a connection, which is not open yet.

        Raises OSError if a certificate cannot be used.
        """
        host = to.hostname or ""
        if to.scheme == "https":
            context = self._context()
            return HTTPSConnection(host, to.port, timeout=_left(until), context=context)
        return HTTPConnection(host, to.port, timeout=_left(until))

    def _context(self) -> ssl.SSLContext:
        trusted = self._authorities
        if trusted is not None and trusted.is_dir():
            context = ssl.create_default_context(capath=trusted)
        else:
            context = ssl.create_default_context(cafile=trusted)
        context.set_alpn_protocols(["http/1.1"])
        chain, key = self._chain
        if chain is not None:
            context.load_cert_chain(chain, key, password="")
        return context


class _Bounded:
    """What an HTTPConnection needs of its socket, until a time of the monotonic clock, in however many steps."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._socket = sock
        self._until = until

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(_left(self._until))
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._socket, self._until))

    def close(self) -> None:
        """Leave the socket open: an answer is read from it after its connection is closed."""


class _Reading(io.RawIOBase):
    def __init__(self, sock: socket.socket, until: float) -> None:
        super().__init__()
        self._socket = sock
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_left(self._until))
        return self._socket.recv_into(buffer)


def _target(to: SplitResult) -> str:
    return quote(f"{to.path or '/'}{'?' if to.query else ''}{to.query}", safe=_WHOLE)


def _authorization(to: SplitResult) -> dict[str, str]:
    """Return the header of the user and the password in a URL, which wins over one in the settings, as in requests."""
    if to.username is None or to.password is None:
        return {}
    user = f"{unquote(to.username)}:{unquote(to.password)}"
    return {"authorization": f"Basic {b64encode(user.encode('latin-1')).decode()}"}


def _left(until: float) -> float:
    """Return the seconds that are left until this time of the monotonic clock.

    Raises TimeoutError if none are.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _usual_authorities() -> Path:
    """Return the file of the certificate authorities that requests trusts."""
    import certifi  # noqa: PLC0415  where TLS is used

    return Path(certifi.where())
