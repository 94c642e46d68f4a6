"""Values that an application may hand to OpenTelemetry, and what each is as a number; None where it is none."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SPECIAL = (
    *("__str__", "__repr__", "__format__", "__hash__", "__eq__", "__ne__", "__bool__", "__class__", "__getattr__"),
    *("__float__", "__int__", "__index__", "__trunc__", "__round__", "__complex__", "__reduce_ex__", "__buffer__"),
    *("__len__", "__iter__", "__getitem__", "__contains__"),
)
"""What an object may define, and raise from; not what the SDK itself calls before it takes a number."""


def _raise(*_: Any) -> NoReturn:
    raise RuntimeError("an application's own object raised")


def raising(base: type, *names: str) -> Any:
    """Make a subclass that raises from these of its special methods."""
    members: dict[str, Any] = dict.fromkeys(names, _raise)
    if "__class__" in members:
        members["__class__"] = property(_raise)
    return type(f"Raising{base.__name__.title()}", (base,), members)


class Small(IntEnum):
    """An enumeration, as applications have them."""

    TWO = 2


class Flags(IntFlag):
    """Flags, as applications have them."""

    FOUR = 4


class Word(str, Enum):
    """An enumeration of words."""

    OPEN = "open"


class Tensor:
    """A number of a class that knows no arithmetic: a gauge takes it."""

    def __float__(self) -> float:
        """Be a number."""
        return 1.25


class Once:
    """A number that raises when it is asked again: the SDK has asked once, before it took it."""

    def __init__(self, error: BaseException) -> None:
        """Raise this."""
        self.error = error
        self.asked = 0

    def __float__(self) -> float:
        """Be a number for a moment."""
        self.asked += 1
        if self.asked > 1:
            raise self.error
        return 1.0


class AnyInt(int):
    """A subclass without anything of its own."""


class AnyFloat(float):
    """A subclass without anything of its own."""


class AnyText(str):
    """A subclass without anything of its own."""

    __slots__ = ()


MAKERS: dict[str, tuple[Callable[[], Any], float | None]] = {
    "int": (lambda: 3, 3),
    "float": (lambda: 0.5, 0.5),
    "bool": (lambda: True, 1),
    "float64": (lambda: np.float64(0.5), 0.5),
    "float32": (lambda: np.float32(0.25), 0.25),
    "float16": (lambda: np.float16(0.25), 0.25),
    "longdouble": (lambda: np.longdouble(0.25), 0.25),
    "int64": (lambda: np.int64(7), 7),
    "uint8": (lambda: np.uint8(7), 7),
    "npbool": (lambda: np.bool_(True), 1),
    "array": (lambda: np.array(0.75), 0.75),
    "mean": (lambda: np.mean([1.0, 2.0]), 1.5),
    "npstr": (lambda: np.str_("word"), None),
    "npbytes": (lambda: np.bytes_(b"word"), None),
    "datetime64": (lambda: np.datetime64("2026-11-27"), None),
    "decimal": (lambda: Decimal("0.5"), 0.5),
    "fraction": (lambda: Fraction(1, 4), 0.25),
    "anyint": (lambda: AnyInt(5), 5),
    "anyfloat": (lambda: AnyFloat(2.5), 2.5),
    "anytext": (lambda: AnyText("text"), None),
    "intenum": (lambda: Small.TWO, 2),
    "intflag": (lambda: Flags.FOUR, 4),
    "strenum": (lambda: Word.OPEN, None),
    "big": (lambda: 2**80, 2.0**80),
    "huge": (lambda: 10**400, None),
    "digits": (lambda: 10**6_000, None),
    "zero": (lambda: -0.0, 0),
    "nan": (lambda: float("nan"), None),
    "inf": (lambda: float("inf"), None),
    "bytes": (lambda: b"by\xfftes", None),
    "none": (lambda: None, None),
    "empty": (lambda: "", None),
    "surrogate": (lambda: "\udce9", None),
    "newline": (lambda: 'a\n"b"\\', None),
    "long": (lambda: "x" * 100_000, None),
    "complex": (lambda: 1j, None),
    "object": (object, None),
    "list": (lambda: [1, "a", None, [2.5, b"b"]], None),
    "dict": (lambda: {"a": 1, "b": {"c": [None, b"x"]}}, None),
    "set": (lambda: {1}, None),
    "tensor": (Tensor, 1.25),
    "once": (lambda: Once(RuntimeError("an application's own number raised")), None),
    "exit": (lambda: Once(SystemExit(3)), None),
    "nostr": (raising(object, "__str__", "__repr__"), None),
    "nohash": (raising(object, "__hash__"), None),
    "nofloat": (raising(object, "__float__"), None),
    "notexthash": (lambda: raising(str, "__hash__")("text"), None),
    "notextstr": (lambda: raising(str, "__str__", "__repr__")("text"), None),
    "nofloatstr": (lambda: raising(float, "__str__", "__repr__", "__format__", "__float__")(2.5), 2.5),
    "nointstr": (lambda: raising(int, "__str__", "__repr__", "__format__", "__int__", "__index__")(5), 5),
    "nobytes": (lambda: raising(bytes, "__str__", "__repr__", "__getitem__", "__len__")(b"text"), None),
    "allobject": (raising(object, *SPECIAL), None),
    "alltext": (lambda: raising(str, *SPECIAL)("text"), None),
    "allfloat": (lambda: raising(float, *SPECIAL)(2.5), 2.5),
    "allint": (lambda: raising(int, *SPECIAL)(5), 5),
}
"""What an application records with: by a name, how it is made, and what number it is."""
