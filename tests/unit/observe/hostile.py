"""Objects that raise from whatever can be asked of them: what a user's class may be at its worst."""

from __future__ import annotations

from typing import Any, NoReturn

SPECIAL = (
    *("__repr__", "__str__", "__bytes__", "__format__", "__hash__", "__bool__", "__len__", "__iter__", "__next__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__", "__getitem__", "__setitem__"),
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__mod__", "__and__", "__or__", "__neg__"),
    *("__abs__", "__int__", "__float__", "__index__", "__round__", "__trunc__", "__complex__"),
    *("__call__", "__enter__", "__exit__", "__dir__", "__sizeof__", "__reduce__", "__reduce_ex__", "__getstate__"),
    *("__copy__", "__deepcopy__", "__instancecheck__", "__subclasscheck__", "__length_hint__", "__missing__"),
)


class Worse(BaseException):
    """What no ``except Exception`` catches."""


def bomb(error: type[BaseException]) -> Any:
    """Make a method that raises."""

    def explode(*_: Any, **__: Any) -> NoReturn:
        raise error("touched")

    return explode


def hostile(base: type, error: type[BaseException], *, to: tuple[str, ...] = SPECIAL, meta: bool = False) -> type:
    """Make a class below ``base`` whose special methods, attributes and ``__class__`` raise; so may its own class's.

    Attributes that exist raise too (``__getattribute__``), save where Python itself must have them.
    """
    own: dict[str, Any] = {name: bomb(error) for name in to}
    own |= {"__getattr__": bomb(error), "__getattribute__": bomb(error), "__class__": property(bomb(error))}
    kind = type(base)
    if meta:
        theirs = ("__repr__", "__hash__", "__eq__", "__instancecheck__", "__subclasscheck__", "__getattribute__")
        names = {"__name__": property(bomb(error)), "__module__": property(bomb(error))}
        kind = type("Meta", (kind,), {name: bomb(error) for name in theirs} | names)
    return kind("Hostile", (base,), own)
