"""Values of an application's own objects, made plain: of Python's exact types, with none of the application's code in.

OpenTelemetry's SDK hands on subclasses of ``int``, ``float`` and ``str`` as it got them, and numbers of any class. Some
of them no encoder knows, to others a ``numpy.float64`` is a buffer of bytes; and any of them may raise from any of its
special methods. Of a subclass the base class is asked, so that its own methods are not called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

MAX_BITS = 2_000
"""Longer integers are labels as text: Python refuses to print one of thousands of digits, by a setting of its own."""

MAX_ITEMS = 10_000
"""A label holds no more of them, on all its levels: a ``range``, or a list of lists of one list, may have billions."""


def number(value: Any) -> int | float:
    """Give a number of the type that OTLP would give it: integers are ``int``, all others ``float``.

    Raises whatever the value's own ``__float__`` raises, TypeError where it has none, or where that is a SystemExit.
    """
    kind = type(value)
    if kind is float or kind is int:
        exact: int | float = value
        return exact
    if issubclass(kind, int):
        return int.__int__(value)
    return float.__float__(value) if issubclass(kind, float) else _asked(float, value)


def text(value: Any, length: int) -> str:
    """Cut a text, and replace lone surrogates: one of them would make every later scrape fail."""
    kind = type(value)
    exact: str = value if kind is str else str.__str__(value if issubclass(kind, str) else _asked(str, value))
    if len(exact) > length:
        exact = exact[:length]
    return exact if exact.isascii() else exact.encode("utf-8", "replace").decode("utf-8")


def label(value: Any, length: int, room: Iterator[int] | None = None) -> Any:
    """Give a label value of the type that the SDK takes it for, with each text and each sequence in it cut to a length.

    What is within others shares their ``room``, and is cut where there is none left. Raises whatever the value's own
    methods raise, and RecursionError where it is nested without end.
    """
    kind = type(value)
    if kind is str or issubclass(kind, str):
        return text(value, length)
    if value is None or kind is bool:
        return value
    if issubclass(kind, (int, float)):
        plain = number(value)
        return plain if kind is float or not _is_long(plain) else hex(int(plain))[:length]
    return _nested(value, length, iter(range(MAX_ITEMS)) if room is None else room)


def labels(attributes: Mapping[str, Any], length: int) -> tuple[tuple[str, Any], ...]:
    """Make attributes plain, and order them, so that equal ones are equal; of keys that are cut alike the last stays.

    Raises as :func:`label` does.
    """
    made = {text(key, length): label(value, length) for key, value in attributes.items()}
    return tuple(sorted(made.items(), key=_key) if len(made) > 1 else made.items())


def _asked(make: Callable[[Any], T], value: Any) -> T:
    """Ask an object for what it is; whoever asks is not ended by it."""
    try:
        return make(value)
    except SystemExit as error:
        raise TypeError(f"a {type(value).__name__} raised SystemExit") from error


def _nested(value: Any, length: int, room: Iterator[int]) -> Any:
    if issubclass(type(value), bytes):
        return bytes.__getitem__(value, slice(length))
    if isinstance(value, Sequence):
        return tuple([label(each, length, room) for each, _ in zip(islice(value, length), room, strict=False)])
    if not isinstance(value, Mapping):
        return text(value, length)
    made = {text(key, length): label(each, length, room) for (key, each), _ in zip(value.items(), room, strict=False)}
    return dict(sorted(made.items(), key=_key))


def _is_long(value: float) -> bool:
    return type(value) is int and value.bit_length() > MAX_BITS


def _key(pair: tuple[str, Any]) -> str:
    return pair[0]
