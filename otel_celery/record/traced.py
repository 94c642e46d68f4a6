"""Report one request's observations in the trace that its message carries, so that they become exemplars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach, detach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_celery.lifecycle import Limit, Outcome, Revocation
    from otel_celery.observers import TaskObserver


class Traced:
    """Reports to a task's observer in the context of one trace; implements ``observers.TaskObserver``."""

    __slots__ = ("_books", "_context")

    def __init__(self, books: TaskObserver, carrier: Mapping[str, Any]) -> None:
        """``carrier`` is a message's headers; the propagators of OTEL_PROPAGATORS find the trace in it."""
        from opentelemetry.propagate import extract  # noqa: PLC0415  Recording has imported it, where it is needed

        self._books = books
        self._context = extract(carrier, Context())

    def _within(self, report: Callable[..., None], *args: Any) -> None:
        token = attach(self._context)
        try:
            report(*args)
        finally:
            detach(token)

    def in_trace(self, carrier: Mapping[str, Any]) -> TaskObserver:
        """Return an observer for another trace."""
        return Traced(self._books, carrier)

    def received(self, *, redelivered: bool) -> None:
        """Pass it on; no histogram takes part."""
        self._books.received(redelivered=redelivered)

    def started(self, waited: float, queued: float | None = None) -> None:
        """Observe both waits, in seconds, in the trace."""
        self._within(self._books.started, waited, queued)

    def ended(self, outcome: Outcome, duration: float | None, runtime: float | None) -> None:
        """Observe duration and runtime, in seconds, in the trace."""
        self._within(self._books.ended, outcome, duration, runtime)

    def raised(self, exception: str) -> None:
        """Pass it on; no histogram takes part."""
        self._books.raised(exception)

    def revoked(self, reason: Revocation) -> None:
        """Pass it on; no histogram takes part."""
        self._books.revoked(reason)

    def timed_out(self, limit: Limit) -> None:
        """Pass it on; no histogram takes part."""
        self._books.timed_out(limit)
