"""Where the main process listens: a local stream socket found by its name, by forked and spawned children alike.

On Linux the name is in the abstract namespace: there is no file, so none is left over, whatever the main process dies
of. Elsewhere it is a file in a directory of the user's own (mode 0700), removed when the worker ends; after a SIGKILL
that directory stays behind in the temporary directory, and hurts nobody. Only processes of the same user are listened
to: the kernel says who connects, or keeps others out of the directory. And only those that know the secret, since
containers that share a network share the names, and may number their users alike.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import socket
import stat
import struct
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

VARIABLE = "_OTEL_CELERY_RELAY"
"""Tells a spawned child where the main process listens; set by the main process, for its children."""

BACKLOG = 1024

SECRET_SIZE = 16

_CREDENTIALS = struct.Struct("3i")
_TIMEOUT = struct.Struct("@ll")
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
    secret: bytes = field(default=bytes(SECRET_SIZE), repr=False)
    """What only the processes of this worker are told."""

    def publish(self, environ: MutableMapping[str, str]) -> None:
        """Let the children that will be spawned know."""
        environ[VARIABLE] = f"{self.owner}:{int(self.feeds_application)}:{self.secret.hex()}:{self.name}"

    def withdraw(self, environ: MutableMapping[str, str]) -> None:
        """Take back what was published, unless another worker of this process has published its own since."""
        if read(environ) == self:
            del environ[VARIABLE]

    @property
    def target(self) -> str:
        """Give what the socket's own functions take."""
        return f"\0{self.name[1:]}" if self.is_abstract else self.name

    @property
    def is_abstract(self) -> bool:
        """Tell whether there is no file."""
        return self.name.startswith(_ABSTRACT)


def read(environ: MutableMapping[str, str]) -> Address | None:
    """Read what a main process has published; None where none did."""
    owner, feeds, secret, name = (*environ.get(VARIABLE, "").split(":", 3), "", "", "", "")[:4]
    try:
        return Address(name, int(owner), feeds == "1", _secret(secret)) if name else None
    except ValueError:
        return None


def _secret(text: str) -> bytes:
    secret = bytes.fromhex(text)
    if len(secret) != SECRET_SIZE:
        raise ValueError("not a secret of ours")
    return secret


def listen(*, feeds_application: bool, abstract: bool = sys.platform == "linux") -> tuple[socket.socket, Address]:
    """Listen under a name that nobody else has.

    Raises OSError when the process has no descriptor left, or no directory can be made.
    """
    unique = f"otel-celery-{os.getpid()}-{secrets.token_hex(8)}"
    name = f"{_ABSTRACT}{unique}" if abstract else str(Path(tempfile.mkdtemp(prefix="otel-celery-")) / "relay")
    address = Address(name, os.getpid(), feeds_application, secrets.token_bytes(SECRET_SIZE))
    try:
        return _bound(address), address
    except BaseException:
        remove(address)
        raise


def listen_again(address: Address) -> socket.socket:
    """Listen under a name whose file is gone, its directory perhaps too.

    Raises OSError when that cannot be, as where somebody else has made a directory of that name.
    """
    directory = Path(address.name).parent
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, f"{directory} is not a directory of this user's own")
    Path(address.name).unlink(missing_ok=True)
    return _bound(address)


def file_of(address: Address) -> tuple[int, int] | None:
    """Tell which file the socket's name leads to now; None when it leads to none."""
    try:
        found = Path(address.name).lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _bound(address: Address) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(address.target)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def remove(address: Address) -> None:
    """Remove the directory of a socket that has one; never raises."""
    if not address.is_abstract:
        shutil.rmtree(Path(address.name).parent, ignore_errors=True)


def connect(connection: socket.socket, address: Address, seconds: float) -> None:
    """Connect a fresh socket to the main process, and never wait again on it.

    Raises OSError when the main process is gone, or does not take the connection within these seconds.
    """
    if sys.platform == "linux":  # a socket that waits by itself has its turn kept by the kernel, where others knock too
        whole = int(seconds)
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEOUT.pack(whole, int((seconds - whole) * 1_000_000))
        )
    else:
        connection.settimeout(seconds)
    connection.connect(address.target)
    connection.setblocking(False)


def peer(connection: socket.socket) -> tuple[int, int] | None:
    """Tell the process and the user at the other end; None where the kernel does not, but the directory let them in."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _group = _CREDENTIALS.unpack(raw)
    return pid, user
