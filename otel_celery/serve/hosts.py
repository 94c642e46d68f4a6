"""Check the Host header of requests on the loopback, as a protection against DNS rebinding.

In such an attack a website's name comes to resolve to 127.0.0.1, so that its page can read the port's answers in a
visitor's browser. Those requests have the website's name as their Host. Addresses, and names that no public DNS can
resolve, are safe and allowed, so that a proxy may pass on a Host of that kind.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from otel_celery.serve.answer import sentence

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from otel_celery.serve.answer import Answer

    Answering = Callable[[str, str, Mapping[str, str]], Answer]

ANY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  compared with, not bound
"""Configured hosts that mean every address."""

NAMES = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})
"""Names of this machine, for itself and for the containers that run on it."""


class Hosts:
    """The Host headers that a port answers."""

    def __init__(self, configured: str) -> None:
        """Allow the port's configured host, besides this machine's names and all addresses."""
        self._is_any = configured in ANY
        self._names = NAMES | {configured.lower().removesuffix(".")}

    def guard(self, sock: socket.socket, answering: Answering) -> Answering:
        """Wrap ``answering`` to check the Host header, if the accepted socket is on the loopback."""
        if self._is_any or not _is_loopback(sock):
            return answering

        def answer(method: str, target: str, headers: Mapping[str, str]) -> Answer:
            host = headers.get("host", "")
            return answering(method, target, headers) if self.allow(host) else _refusal()

        return answer

    def allow(self, host: str) -> bool:
        """Tell whether a request with this Host header is answered; an empty one is, since HTTP/1.0 needs none."""
        name = _without_port(host.strip().lower()).removesuffix(".")  # the dot of a fully qualified name
        return not name or name in self._names or name.endswith(".localhost") or _is_address(name)


def _refusal() -> Answer:
    return sentence(
        421,
        "this port is on localhost and answers to no other name; a proxy in front of it has to send Host: localhost",
    )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (not port or port.isdecimal()) and (":" not in name or name.endswith("]")) else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]") if name.startswith("[") else name)
    except ValueError:
        return False
    return True


def _is_loopback(sock: socket.socket) -> bool:
    address = ipaddress.ip_address(str(sock.getsockname()[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
