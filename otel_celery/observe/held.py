"""Requests that Celery has no record of while they wait: by identity, since a user's class may compare as it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Holder(Protocol):
    """Who remembers a request for as long as Celery does not; a request has one at a time."""

    def started(self, request: Any) -> None:
        """Hear that the pool accepted the request."""

    def ended(self, request: Any) -> None:
        """Hear that the request ended, or that somebody else holds it now."""


class Held:
    """Requests that are held until they start, or end."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._requests: dict[int, Any] = {}

    def hold(self, request: Any) -> None:
        """Remember a request, in place of who else did."""
        pass_on(request, self)
        self._requests[id(request)] = request

    def started(self, request: Any) -> None:
        """Forget a request that runs: Celery counts it as active."""
        self._requests.pop(id(request), None)

    ended = started

    def __iter__(self) -> Iterator[Any]:
        """List the requests, while other threads change them."""
        return iter(list(self._requests.values()))

    def __len__(self) -> int:
        """Count the requests."""
        return len(self._requests)


def pass_on(request: Any, holder: Holder) -> None:
    """Have somebody else hold a request from now on."""
    before, request._otel_holder = request._otel_holder, holder
    if before is not None:
        before.ended(request)
