"""What a user's object is, told without asking it: its attributes, comparisons and representation may raise, or lie.

``isinstance`` asks an object for its ``__class__``, which may be a property; ``type`` does not, and neither does
``issubclass`` with a class of Python's or Celery's own on its right.
"""

from __future__ import annotations

import math
from typing import Any

_name = type.__dict__["__name__"].__get__
"""A class's name as Python keeps it: a metaclass may have a ``__name__`` of its own."""


def class_name(kind: type) -> str:
    """Name a class."""
    return str.__str__(_name(kind))  # a copy, where the name is of a str subclass


def text(value: Any) -> str | None:
    """Give a plain copy of a string; None for whatever else it is."""
    return str.__str__(value) if issubclass(type(value), str) else None


def seconds(value: Any) -> float | None:
    """Give a plain copy of a number of seconds; None for whatever is none, or negative, or not finite."""
    for kind in (float, int):
        if issubclass(type(value), kind):
            try:
                number = kind.__float__(value)
            except OverflowError:
                return None
            return number if number >= 0.0 and math.isfinite(number) else None
    return None
