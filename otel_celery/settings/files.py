"""Open files that the operator names: without blocking, and regular files only.

Opening a pipe would block until another process writes to it. A pipe can also be read only once, while these files are
read again and again.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 1 << 20
"""Bytes of a file at most; certificates and credentials are far smaller."""


def check(path: Path) -> None:
    """Check that a file can be read.

    Raises OSError if it cannot be read, or is not a regular file, and ValueError if the path is invalid.
    """
    os.close(_open(path))


def read(path: Path) -> bytes:
    """Read a whole file.

    Raises as :func:`check` does, and OSError if the file has more than LARGEST bytes.
    """
    with os.fdopen(_open(path), "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(None, f"it has more than {LARGEST} bytes")
    return content


def is_open_to_others(path: Path) -> bool:
    """Tell whether every user of this machine may read a file; False if the file is gone."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _open(path: Path) -> int:
    if "\0" in str(path):  # Python's own message differs by version
        raise ValueError("a path has no NUL in it")
    _refuse_unless_regular(path.stat())  # first: opening a pipe would wake its writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_unless_regular(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_unless_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(
            None, "Is a directory" if stat.S_ISDIR(status.st_mode) else "it is a pipe or a device, not a file"
        )
