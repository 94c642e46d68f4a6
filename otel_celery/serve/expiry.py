"""When a certificate expires: the one thing that the ssl module does not tell a server of its own.

OpenSSL has accepted the file by the time it is asked for here, so this is a walk through DER, not a check of it.
"""

from __future__ import annotations

import datetime as dt
import re
import ssl

_FIRST = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_VERSION = 0xA0
_GENERALIZED_TIME = 0x18


def expiry(text: str) -> dt.datetime | None:
    """Return when the first certificate in PEM text expires; None if it cannot be told.

    What follows the first one is its issuers: clients may well do without one of those that has expired.
    """
    first = _FIRST.search(text)
    if first is None:
        return None
    try:
        certificate = _elements(ssl.PEM_cert_to_DER_cert(first.group()))[0][1]
        signed = _elements(_elements(certificate)[0][1])
        validity = signed[4 if signed[0][0] == _VERSION else 3][1]
        tag, moment = _elements(validity)[1]
        layout = "%Y%m%d%H%M%SZ" if tag == _GENERALIZED_TIME else "%y%m%d%H%M%SZ"
        return dt.datetime.strptime(moment.decode("ascii"), layout).replace(tzinfo=dt.timezone.utc)
    except (ValueError, IndexError):
        return None


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Split DER into tags and contents."""
    found, at = [], 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        found.append((tag, data[at : at + length]))
        at += length
    return found
