"""Read the credentials file: one a line, ``user:password``, or a bearer token without a colon; ``#`` begins a comment.

A password's hash, as htpasswd writes it, is refused. By design a check of one takes a tenth of a second, and each
scrape and each wrong guess would take that time from the process that hands tasks to the pool. A file that only the
worker can read is safe enough for the password itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_celery.settings import files

if TYPE_CHECKING:
    from pathlib import Path

_HASH = re.compile(
    rb"[^:]*:(\$(apr1|1|2[abxy]?|5|6|y|sha1|argon2[a-z]*|scrypt|pbkdf2[-a-z0-9]*)\$|\{(SSHA|SHA)[0-9]*\})"
)
"""The formats of Apache, crypt and others; DES is not among them, since its thirteen letters look like a password."""


class UnusableError(Exception):
    """A line of the file can admit no client; the message has the number of the line, and no part of it."""


def read(path: Path) -> list[bytes]:
    """Read the credentials, one a line.

    Raises OSError if the file cannot be read, UnusableError if a line holds a hash.
    """
    lines = [line.strip() for line in files.read(path).removeprefix(b"\xef\xbb\xbf").splitlines()]
    for number, line in enumerate(lines, 1):
        if _HASH.match(line) and not line.startswith(b"#"):
            raise UnusableError(f"line {number} holds a hash, as htpasswd makes them: write the password itself")
    return [line for line in lines if line and not line.startswith(b"#")]
