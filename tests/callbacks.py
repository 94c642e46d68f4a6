"""Callbacks of observable instruments that go wrong in each way in which an application's own may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation

if TYPE_CHECKING:
    from collections.abc import Iterator


class RaisingError(Exception):
    """Cannot even be told."""

    def __str__(self) -> str:
        """Raise."""
        raise LookupError("touched")


class Raising:
    """Is neither a number, nor a text, nor a key."""

    def __float__(self) -> float:
        """Raise."""
        raise LookupError("touched")

    __str__ = RaisingError.__str__
    __hash__ = None  # type: ignore[assignment]


def raising(error: BaseException) -> Any:
    """Make a callback that raises."""

    def callback(_: Any) -> Any:
        raise error

    return callback


def stopping(error: BaseException) -> Any:
    """Make a callback that raises once it has given something."""

    def callback(_: Any) -> Iterator[Observation]:
        yield Observation(1, {"before": "it"})
        raise error

    return callback


def giving(given: Any) -> Any:
    """Make a callback that gives this, whatever it is."""
    return lambda _: given


ERRORS = (KeyError("k"), RaisingError(), SystemExit(3), RecursionError(), MemoryError())
NO_OBSERVATIONS: list[Any] = [
    *(None, 5, "text", {}, {"a": 1}, [None], [5], ["text"], [[]], [{}], [Observation], Raising()),
]
NO_NUMBERS: list[Any] = [None, "text", "5", b"5", [], 1j, Raising(), 10**400]
NO_LABELS: list[Any] = [5, "text", [], ["ab"], Raising(), *({it: 1} for it in (5, None, b"a", ("a",), ""))]
NO_LABELS += [{"a": it} for it in (Raising(), [Raising()], {"a": Raising()})]

ODD: tuple[Any, ...] = (
    *map(raising, ERRORS),
    *map(stopping, ERRORS),
    raising(StopIteration()),
    *map(giving, NO_OBSERVATIONS),
    *(giving([Observation(it)]) for it in NO_NUMBERS),
    *(giving([Observation(1, it)]) for it in NO_LABELS),
    lambda: [Observation(1)],
    5,
    None,
)
"""What may stand among an instrument's callbacks."""
