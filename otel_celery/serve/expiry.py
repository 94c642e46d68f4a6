"""Read the expiry date of a certificate, since the ssl module does not tell a server that of its own certificate.

OpenSSL has accepted the certificate before, so this reads the DER encoding without checking it.
"""

from __future__ import annotations

import datetime as dt
import re
import ssl

_FIRST = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_VERSION = 0xA0
_GENERALIZED_TIME = 0x18


def expiry(text: str) -> dt.datetime | None:
    """Return when the first certificate in a PEM text expires; None if that cannot be read.

    The certificates after the first are its issuers. One of those may have expired: clients may well not need it.
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
    """Split DER into pairs of tag and content."""
    found, at = [], 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        found.append((tag, data[at : at + length]))
        at += length
    return found
