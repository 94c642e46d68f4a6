"""Listening sockets for a host and a port number."""

from __future__ import annotations

import errno
import socket
from typing import Any

_LOOPBACKS: tuple[tuple[int, Any], ...] = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

_MISSING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}

_BACKLOG = 128


def addresses(host: str) -> list[tuple[int, str]]:
    """Resolve a host to families and addresses.

    ``localhost`` is both loopbacks whatever the resolver says, since a client may try either first.
    Raises OSError when the host cannot be resolved.
    """
    if host.lower() == "localhost":
        return list(_LOOPBACKS)
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Of an IPv6 address the scope must stay with it, as in fe80::1%eth0.
    return list(dict.fromkeys((int(family), _scoped(address)) for family, _, _, _, address in found))


def _scoped(address: tuple[Any, ...]) -> str:
    scope = f"%{address[3]}" if address[3:] and address[3] and "%" not in address[0] else ""
    return f"{address[0]}{scope}"


def listen(where: list[tuple[int, str]], number: int) -> list[socket.socket]:
    """Listen on each address; one that this machine does not have, such as ``::1`` without IPv6, is left out.

    With number 0 the first address gets a free port, and the others the same.
    Raises OSError when one is taken or forbidden, or none exists; then none is left open.
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
        # A restarted worker binds although connections of the one before it linger. Never SO_REUSEPORT: two workers
        # would share a port without a word, and each scrape would see one of them.
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
