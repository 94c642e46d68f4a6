"""Asking a worker's port from outside: one request, one answer, no more imports than that takes."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_celery.settings.credentials import read

if TYPE_CHECKING:
    from pathlib import Path

    from otel_celery.settings.settings import Port

ANYWHERE = {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where to ask what listens there
"""Addresses to listen on that are none to connect to, and the one to use instead."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the client shows and trusts on a port with TLS; the port's own certificate, if nothing else is said."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def get(port: Port, path: str, timeout: float, identity: Identity | None = None) -> tuple[int, str]:
    """Ask for a path; return the status and the body.

    Raises OSError when there is no answer, ssl.SSLError among them, and http.client.HTTPException on no HTTP.
    """
    host = ANYWHERE.get(port.host, port.host)
    connection = _connection(port, host, timeout, identity or Identity())
    try:
        connection.request("GET", path, headers={"Accept": "text/plain;version=0.0.4", **_authorisation(port)})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def _authorisation(port: Port) -> dict[str, bytes]:
    """Show the first of the port's own credentials: ``user:password``, or a bearer token."""
    first = next(iter(read(port.credentials)), b"") if port.credentials is not None else b""
    if b":" in first:
        return {"Authorization": b"Basic " + base64.b64encode(first)}
    return {"Authorization": b"Bearer " + first} if first else {}


def _connection(port: Port, host: str, timeout: float, identity: Identity) -> http.client.HTTPConnection:
    if port.tls is None and identity.authority is None:
        return http.client.HTTPConnection(host, port.number, timeout=timeout)
    authority = identity.authority or (port.tls.certificate if port.tls else None)
    context = _context(host, authority, identity)
    return http.client.HTTPSConnection(host, port.number, timeout=timeout, context=context)


def _context(host: str, authority: Path | None, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the port's own certificate is trust enough
    context.check_hostname = not is_loopback(host)
    context.load_verify_locations(cafile=authority)
    if identity.certificate is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, whatever machine asks."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
