"""Open the listening sockets for a host and a port number."""

from __future__ import annotations

import encodings.idna  # noqa: F401  else getaddrinfo imports it, perhaps while another thread forks
import errno
import socket
from typing import Any

_LOOPBACKS: tuple[tuple[int, Any], ...] = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

_MISSING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}

_BACKLOG = 128


def addresses(host: str) -> list[tuple[int, str]]:
    """Resolve a host to pairs of address family and address.

    ``localhost`` always means 127.0.0.1 and ::1, whatever the resolver says, since a client may try either first.
    Raises OSError when the host cannot be resolved.
    """
    if host.lower() == "localhost":
        return list(_LOOPBACKS)
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # An IPv6 address keeps its scope, as in fe80::1%eth0.
    return list(dict.fromkeys((int(family), _scoped(address)) for family, _, _, _, address in found))


def _scoped(address: tuple[Any, ...]) -> str:
    scope = f"%{address[3]}" if address[3:] and address[3] and "%" not in address[0] else ""
    return f"{address[0]}{scope}"


def listen(where: list[tuple[int, str]], number: int) -> list[socket.socket]:
    """Listen on each address that this machine has; leave out the others, such as ``::1`` without IPv6.

    With number 0 the system chooses a free port for the first address, and the others get the same one.
    Raises OSError when an address's port is taken or forbidden, or when no address exists; all sockets are closed then.
    """
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in where:
            try:
                listener = _listener(family, address, number, alone=len(where) == 1)
            except OSError as error:
                if error.errno not in _MISSING:
                    raise
                missing = error
            else:
                listeners.append(listener)
                number = listener.getsockname()[1]
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    if missing is not None and not listeners:
        raise missing
    return listeners


def _listener(family: int, address: str, number: int, *, alone: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # SO_REUSEADDR lets a restarted worker bind although connections of its predecessor are in TIME_WAIT. Never
        # SO_REUSEPORT: with it two workers would share a port silently, and a scrape would reach either of them.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not alone:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, number))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
