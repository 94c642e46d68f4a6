"""The file of credentials: one a line, ``user:password``, or a bearer token without a colon; ``#`` begins a comment.

A password's hash, as htpasswd writes it, is refused. To check one takes a tenth of a second by design, in the process
that hands tasks to the pool, for every scrape and for everybody who guesses; a file that only the worker can read
holds the password as safely.
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
"""Apache's, crypt's and the usual others; the oldest, thirteen letters of DES, cannot be told from a password."""


class UnusableError(Exception):
    """No client could be admitted by a line of the file; the message says which line, and nothing of it."""


def read(path: Path) -> list[bytes]:
    """Read the credentials.

    Raises OSError where the file cannot be read, UnusableError where a line holds a hash.
    """
    lines = [line.strip() for line in files.read(path).removeprefix(b"\xef\xbb\xbf").splitlines()]
    for number, line in enumerate(lines, 1):
        if _HASH.match(line) and not line.startswith(b"#"):
            raise UnusableError(f"line {number} holds a hash, as htpasswd makes them: write the password itself")
    return [line for line in lines if line and not line.startswith(b"#")]
