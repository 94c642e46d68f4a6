"""Convert an application's numbers and labels to Python's exact built-in types.

OpenTelemetry's SDK passes on any number, and subclasses of ``int``, ``float`` and ``str``, as the application gave
them. Encoders do not know all of these classes (one takes a ``numpy.float64`` for a buffer of bytes), and any of their
special methods may raise. The value of a subclass is read with the base class's method, so that no application code
runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

MAX_BITS = 2_000
"""Bits of an integer label at most; a longer one becomes hexadecimal text, since Python may refuse to print it.

See https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation.
"""

MAX_ITEMS = 10_000
"""Items of one label at most, on all its levels together: a ``range``, or lists nested in lists, may hold billions."""


_name = type.__dict__["__name__"].__get__
"""Reads a class's name as Python keeps it: a metaclass may have a ``__name__`` of its own."""


def class_name(kind: type) -> str:
    """Return a class's name as a plain ``str``, without running any code of the class's."""
    return str.__str__(_name(kind))  # a copy, where the name is of a str subclass


def number(value: Any) -> int | float:
    """Convert a number to the type that OTLP would give it: integers to ``int``, all others to ``float``.

    Raises the exception of the value's own ``__float__``, with TypeError in place of SystemExit, and TypeError if the
    value has no such method.
    """
    kind = type(value)
    if kind is float or kind is int:
        exact: int | float = value
        return exact
    if issubclass(kind, int):
        return int.__int__(value)
    return float.__float__(value) if issubclass(kind, float) else _asked(float, value)


def text(value: Any, length: int) -> str:
    """Cut a text to ``length`` characters, and replace lone surrogates: one would make every later scrape fail."""
    kind = type(value)
    exact: str = value if kind is str else str.__str__(value if issubclass(kind, str) else _asked(str, value))
    if len(exact) > length:
        exact = exact[:length]
    return exact if exact.isascii() else exact.encode("utf-8", "replace").decode("utf-8")


def label(value: Any, length: int, room: Iterator[int] | None = None) -> Any:
    """Convert a label value to the built-in type that the SDK treats it as; cut each text and sequence to ``length``.

    Nested values share one ``room`` of items, and are cut where it is used up. Raises the exceptions of the value's
    own methods, and RecursionError if it is nested without end.
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
    """Convert attributes, and sort them by key, so that equal ones compare equal.

    If two keys become the same when they are cut, the last one stays. Raises as :func:`label` does.
    """
    made = {text(key, length): label(value, length) for key, value in attributes.items()}
    return tuple(sorted(made.items(), key=_key) if len(made) > 1 else made.items())


def _asked(make: Callable[[Any], T], value: Any) -> T:
    """Convert a value by its own methods; turn SystemExit into TypeError, so that it does not end our thread."""
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
