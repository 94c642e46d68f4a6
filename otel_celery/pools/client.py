"""An HTTP client for a worker's port: one request, one response, and few imports, so that a probe starts fast."""

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

ANYWHERE = {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  only compared
"""For each address that means every interface: the address to connect to instead."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The client's TLS files: a CA to trust (default: the port's own certificate), a client certificate and its key."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def get(port: Port, path: str, timeout: float, identity: Identity | None = None) -> tuple[int, str]:
    """Request a path, with a timeout in seconds; return the status and the body.

    Raises OSError (ssl.SSLError included) when there is no response, and http.client.HTTPException when it is not HTTP.
    """
    host = ANYWHERE.get(port.host, port.host)
    connection = _connection(port, host, timeout, identity or Identity())
    try:
        connection.request("GET", path, headers={"Accept": "text/plain;version=0.0.4", **authorisation(port)})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def authorisation(port: Port) -> dict[str, bytes]:
    """Make the Authorization header of the port's first credential: ``user:password``, or a bearer token.

    Raises OSError if the file of credentials cannot be read, UnusableError if a line of it holds a hash.
    """
    first = next(iter(read(port.credentials)), b"") if port.credentials is not None else b""
    if b":" in first:
        return {"Authorization": b"Basic " + base64.b64encode(first)}
    return {"Authorization": b"Bearer " + first} if first else {}


def _connection(port: Port, host: str, timeout: float, identity: Identity) -> http.client.HTTPConnection:
    if port.tls is None and identity.authority is None:
        return http.client.HTTPConnection(host, port.number, timeout=timeout)
    authority = identity.authority or (port.tls.certificate if port.tls else None)
    made = context(host, authority, identity)
    return http.client.HTTPSConnection(host, port.number, timeout=timeout, context=made)


def context(host: str, authority: Path | None, identity: Identity) -> ssl.SSLContext:
    """Make a client's TLS context that trusts ``authority``, or else what the system trusts.

    The host's name is checked, but on the loopback. Raises OSError if a file cannot be loaded.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # trust the port's own certificate, which need not be a CA
    made.check_hostname = not is_loopback(host)
    if authority is None:
        made.load_default_certs()
    else:
        made.load_verify_locations(cafile=authority)
    if identity.certificate is not None:
        made.load_cert_chain(identity.certificate, identity.key)
    return made


def is_loopback(host: str) -> bool:
    """Tell whether a host is a loopback address or ``localhost``, which mean this machine on every machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
