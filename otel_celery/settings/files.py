"""Files that the operator names: opened without waiting, and never anything else than a file.

A pipe would hold up whoever opens it until somebody writes, and can be read only once; these are read again and again.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 1 << 20
"""Bytes; certificates and credentials are thousands of times smaller."""


def check(path: Path) -> None:
    """Look at a file, and see that it can be read.

    Raises OSError where it cannot be, or is no regular file, and ValueError for a path that can be none.
    """
    os.close(_open(path))


def read(path: Path) -> bytes:
    """Read a file whole.

    Raises as :func:`check` does, and OSError where it has more than LARGEST bytes.
    """
    with os.fdopen(_open(path), "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(None, f"it has more than {LARGEST} bytes")
    return content


def is_open_to_others(path: Path) -> bool:
    """Tell whether every user of this machine may read a file; one that is gone is no longer open."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _open(path: Path) -> int:
    if "\0" in str(path):  # each version of Python says it in other words
        raise ValueError("a path has no NUL in it")
    _refuse_unless_regular(path.stat())  # first: to open a pipe would let a waiting writer go
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
