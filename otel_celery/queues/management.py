"""Ask RabbitMQ's management API for what AMQP does not tell: unacknowledged messages, and when the oldest was sent."""

from __future__ import annotations

import base64
import http.client
import io
import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from otel_celery import masking
from otel_celery.queues.figures import LATEST, Figures, UntoldError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

COLUMNS = "name,messages_ready,messages_unacknowledged,consumers,head_message_timestamp,exclusive,auto_delete,arguments"

MAX_BYTES = 32 * 2**20
"""Bytes of an answer at most: some hundred for each queue of the virtual host."""


class Management:
    """The management API at one URL, whose user and password are sent as basic authentication."""

    def __init__(self, url: str, timeout: float) -> None:
        """Mask the credentials of the URL from now on.

        ``timeout`` limits, in seconds, the wait for the connection, and the time that a whole answer takes.
        """
        masking.keep_user(url)
        parts = urlsplit(url)
        self._timeout = timeout
        self._base = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": "application/json"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._opener = urllib.request.build_opener(_NoRedirect, _Http, _Https)

    def queues(self, vhost: str) -> Mapping[str, Figures]:
        """Return the figures of every queue of a virtual host that outlives its consumers, in one question.

        Raises OSError, ValueError or UntoldError.
        """
        url = f"{self._base}/api/queues/{quote(vhost, safe='')}?columns={COLUMNS}&disable_stats=false"
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310  the settings allow http and https
        with self._opener.open(request, timeout=self._timeout) as answer:
            body = answer.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise UntoldError("the answer of the management API is too long")
        rows = json.loads(body)
        now = time.time()
        return {str(row["name"]): _figures(row, now) for row in rows if isinstance(row, dict) and _stays(row)}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the credentials are for this place alone."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Within(io.RawIOBase):
    """Reads a socket until a moment, since a socket's timeout begins anew with each byte that arrives."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._until = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(left)
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that arrives, as a whole, within the timeout of its socket."""

    def __init__(self, sock: socket.socket, *args: Any, **given: Any) -> None:
        super().__init__(sock, *args, **given)
        self.fp = io.BufferedReader(_Within(self.fp.detach(), sock))


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req)


def _stays(row: Mapping[str, Any]) -> bool:
    arguments = row.get("arguments")
    expires = isinstance(arguments, dict) and "x-expires" in arguments
    return "name" in row and not (row.get("exclusive") or row.get("auto_delete") or expires)


def _figures(row: Mapping[str, Any], now: float) -> Figures:
    sent = row.get("head_message_timestamp")
    age = max(0.0, now - sent) if isinstance(sent, (int, float)) and 0 < sent < LATEST else None
    return Figures(
        _whole(row, "messages_ready") or 0, _whole(row, "consumers"), _whole(row, "messages_unacknowledged"), age
    )


def _whole(row: Mapping[str, Any], key: str) -> int | None:
    value = row.get(key)
    return value if type(value) is int else None
