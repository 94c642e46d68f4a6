"""Where the main process listens: a local stream socket found by its name, by forked and spawned children alike.

On Linux the name is in the abstract namespace: there is no file, so none is left over, whatever the main process dies
of. Elsewhere it is a file in a directory of the user's own (mode 0700), removed when the worker ends; after a SIGKILL
that directory stays behind in the temporary directory, and hurts nobody. Only processes of the same user are listened
to: the kernel says who connects, or keeps others out of the directory.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import struct
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from otel_celery.native import original

if TYPE_CHECKING:
    from collections.abc import MutableMapping

VARIABLE = "_OTEL_CELERY_RELAY"
"""Tells a spawned child where the main process listens; set by the main process, for its children."""

BACKLOG = 1024

_CREDENTIALS = struct.Struct("3i")
_ABSTRACT = "@"


@dataclass(frozen=True, slots=True)
class Address:
    """A socket's name, and whose it is."""

    name: str
    """A path, or a name of the abstract namespace after an ``@``."""
    owner: int
    """The process id of the main process."""
    feeds_application: bool = False
    """Whether the main process hands the merged metrics to the readers of the application's own provider."""

    def publish(self, environ: MutableMapping[str, str]) -> None:
        """Let the children that will be spawned know."""
        environ[VARIABLE] = f"{self.owner}:{int(self.feeds_application)}:{self.name}"

    def withdraw(self, environ: MutableMapping[str, str]) -> None:
        """Take back what was published, unless another worker of this process has published its own since."""
        if read(environ) == self:
            del environ[VARIABLE]

    @property
    def target(self) -> str:
        """Give what the socket's own functions take."""
        return f"\0{self.name[1:]}" if self.name.startswith(_ABSTRACT) else self.name


def read(environ: MutableMapping[str, str]) -> Address | None:
    """Read what a main process has published; None where none did."""
    owner, _, rest = environ.get(VARIABLE, "").partition(":")
    feeds, _, name = rest.partition(":")
    return Address(name, int(owner), feeds == "1") if owner.isdigit() and name else None


def listen(*, feeds_application: bool, abstract: bool = sys.platform == "linux") -> tuple[socket.socket, Address]:
    """Listen under a name that nobody else has.

    Raises OSError when the process has no descriptor left, or no directory can be made.
    """
    unique = f"otel-celery-{os.getpid()}-{secrets.token_hex(8)}"
    name = f"{_ABSTRACT}{unique}" if abstract else str(Path(tempfile.mkdtemp(prefix="otel-celery-")) / "relay")
    address = Address(name, os.getpid(), feeds_application)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address.target)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        remove(address)
        raise
    return listener, address


def remove(address: Address) -> None:
    """Remove the directory of a socket that has one; never raises."""
    if not address.name.startswith(_ABSTRACT):
        shutil.rmtree(Path(address.name).parent, ignore_errors=True)


def connect(address: Address, seconds: float) -> socket.socket:
    """Connect to the main process.

    Raises OSError when it is gone, or does not take the connection within these seconds.
    """
    connection: socket.socket = original("socket", "socket")(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(address.target)
        connection.setblocking(False)
    except BaseException:
        connection.close()
        raise
    return connection


def is_of_same_user(connection: socket.socket) -> bool:
    """Tell whether the process at the other end is of our own user; where the kernel cannot say, the directory did."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(raw)
    return bool(user == os.geteuid())
