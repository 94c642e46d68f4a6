"""Hold the waiting requests of which Celery has no record.

They are kept by identity, since a user's Request class may have its own ``__eq__`` and ``__hash__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Holder(Protocol):
    """Keeps a request while Celery has no record of it. A request has one holder at a time."""

    def started(self, request: Any) -> None:
        """Note that the pool accepted the request."""

    def ended(self, request: Any) -> None:
        """Note that the request ended, or that it has another holder now."""


class Held:
    """Holds requests until they start or end."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._requests: dict[int, Any] = {}

    def hold(self, request: Any) -> None:
        """Hold a request, in place of its previous holder."""
        pass_on(request, self)
        self._requests[id(request)] = request

    def started(self, request: Any) -> None:
        """Drop a request that has started: Celery counts it as active."""
        self._requests.pop(id(request), None)

    ended = started

    def __iter__(self) -> Iterator[Any]:
        """Iterate over a copy, since other threads change the requests."""
        return iter(list(self._requests.values()))

    def __len__(self) -> int:
        """Count the requests."""
        return len(self._requests)


def pass_on(request: Any, holder: Holder) -> None:
    """Make ``holder`` the request's holder, and tell the previous one."""
    before, request._otel_holder = request._otel_holder, holder
    if before is not None:
        before.ended(request)
