"""What is told of a queue, and how those who ask it are built."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from otel_celery.lifecycle import SENT_HEADER

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence


MAX_FOUND = 1_000
"""Queues at most that are told though nobody has named them."""

PASSING = re.compile(
    r"celeryev(\..*)?|bcast\..*|celery_delayed_\d+|(.*\.)?celery\.pidbox|amq\..*|amqp_rpc_.*"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Names that Celery and its brokers make for themselves: events, broadcasts, delays, control, and replies."""

LATEST = 2.0**33
"""Seconds since the epoch at most: the header is anybody's to write, and may hold infinity."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One queue's figures; None for what its broker does not tell."""

    length: int
    """Messages waiting, of all priorities."""
    consumers: int | None = None
    unacked: int | None = None
    """Messages that were delivered and not acknowledged."""
    age: float | None = None
    """Seconds since the oldest waiting message was published."""


class UntoldError(Exception):
    """The broker cannot tell of this queue; the message is a sentence for the operator."""


Answer = Figures | Exception | None
"""A queue's figures, None where there is no such queue, or the exception that kept it from being told."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The queues to ask for."""

    names: Sequence[str]
    known: Container[str] = ()
    """Those that exist though the broker holds nothing of them: an app's own queues do."""
    others: bool = False
    """Whether those that the broker lists besides are told too: a mistyped name is nobody's to give."""


Trouble = Callable[[str, Exception], None]
"""Hears of a question that failed, by the name of what was asked."""


class Asker(Protocol):
    """Asks one kind of broker, over a channel that it is given."""

    def ask(self, asked: Asked, until: float) -> Iterator[tuple[str, Answer]]:
        """Yield each queue's name and answer, and stop at ``until`` on the monotonic clock.

        Raises the exception of a broker that is gone.
        """


def is_lasting(name: str) -> bool:
    """Tell whether a queue that nobody has named is one of tasks, by its name."""
    return PASSING.fullmatch(name) is None


def age(headers: object, now: float) -> float | None:
    """Return the age of a message with these headers; None where its publisher did not say when it was published."""
    sent = headers.get(SENT_HEADER) if isinstance(headers, dict) else None
    if not isinstance(sent, (int, float)) or not 0 < sent < LATEST:
        return None
    return max(0.0, now - sent)
