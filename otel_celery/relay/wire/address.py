"""The address of the main process: a local stream socket that forked and spawned children find by its name.

On Linux the name is in the abstract namespace. There is no file, so none is left over, however the main process ends.
Elsewhere the name is a file in a directory of the user's own (mode 0700), removed when the worker ends. After a SIGKILL
that directory stays behind in the temporary directory, and does no harm.

Only processes of the same user are accepted: the kernel names the peer, or the directory keeps others out. They must
also know a secret, since containers that share a network share the abstract names, and may give different users the
same number.
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
"""Environment variable with the address, set by the main process for its spawned children."""

BACKLOG = 1024

SECRET_SIZE = 16

_CREDENTIALS = struct.Struct("3i")
_TIMEOUT = struct.Struct("@ll")
_ABSTRACT = "@"


@dataclass(frozen=True, slots=True)
class Address:
    """A socket's name, and its owner."""

    name: str
    """A path, or a name of the abstract namespace after an ``@``."""
    owner: int
    """The process id of the main process."""
    feeds_application: bool = False
    """Whether the main process hands the merged metrics to the readers of the application's own provider."""
    secret: bytes = field(default=bytes(SECRET_SIZE), repr=False)
    """Known to the processes of this worker alone."""

    def publish(self, environ: MutableMapping[str, str]) -> None:
        """Write the address into the environment of children that will be spawned."""
        environ[VARIABLE] = f"{self.owner}:{int(self.feeds_application)}:{self.secret.hex()}:{self.name}"

    def withdraw(self, environ: MutableMapping[str, str]) -> None:
        """Remove the published address, unless another worker of this process has published its own since."""
        if read(environ) == self:
            del environ[VARIABLE]

    @property
    def target(self) -> str:
        """Return the name as a socket's ``bind`` and ``connect`` take it."""
        return f"\0{self.name[1:]}" if self.is_abstract else self.name

    @property
    def is_abstract(self) -> bool:
        """Tell whether the name is in the abstract namespace, without a file."""
        return self.name.startswith(_ABSTRACT)


def read(environ: MutableMapping[str, str]) -> Address | None:
    """Read the address that a main process has published; None if there is none, or it is malformed."""
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
    """Listen under a unique name.

    Raises OSError if the process has no file descriptor left, or no directory can be made.
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
    """Listen under a name whose file was removed, perhaps with its directory.

    Raises OSError if that is impossible, for example because another user has made a directory of that name.
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
    """Return device and inode of the file that the socket's name leads to now; None if there is none."""
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
    """Connect a new socket to the main process, and make it non-blocking.

    Raises OSError if the main process is gone, or does not take the connection within so many seconds.
    """
    if sys.platform == "linux":  # while a blocking socket waits, the kernel keeps its place in the queue
        whole = int(seconds)
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEOUT.pack(whole, int((seconds - whole) * 1_000_000))
        )
    else:
        connection.settimeout(seconds)
    connection.connect(address.target)
    connection.setblocking(False)


def peer(connection: socket.socket) -> tuple[int, int] | None:
    """Return process id and user id of the peer; None where only the directory's mode keeps other users out."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _group = _CREDENTIALS.unpack(raw)
    return pid, user
