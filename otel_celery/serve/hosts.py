"""Which Host a request may name where the port listens on the loopback.

A page of a website can have a browser ask this machine: once the website's name has come to mean 127.0.0.1, the page
may read the answer. Such a request names the website as its host. An address, and a name that no public DNS holds,
cannot be led here in this way, and so a proxy that passes on the Host of its clients may well use them.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from otel_celery.serve.site import sentence

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from otel_celery.serve.site import Answer

    Answering = Callable[[str, str, Mapping[str, str]], Answer]

ANY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  what is asked for
"""Hosts that listen on every address."""

NAMES = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})
"""This machine's names, for itself and for the containers that run on it."""


class Hosts:
    """The hosts by which a port may be asked."""

    def __init__(self, configured: str) -> None:
        """Allow the host that the port is configured with, besides what is always allowed."""
        self._is_any = configured in ANY
        self._names = NAMES | {configured.lower().removesuffix(".")}

    def guard(self, sock: socket.socket, answering: Answering) -> Answering:
        """Have the Host of what comes over an accepted socket looked at, if that is the loopback's."""
        if self._is_any or not _is_loopback(sock):
            return answering

        def answer(method: str, target: str, headers: Mapping[str, str]) -> Answer:
            host = headers.get("host", "")
            return answering(method, target, headers) if self.allow(host) else _refusal()

        return answer

    def allow(self, host: str) -> bool:
        """Tell whether a Host header, with any port, may be answered; HTTP/1.0 need not have one."""
        name = _without_port(host.strip().lower()).removesuffix(".")  # which names the DNS's root
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
