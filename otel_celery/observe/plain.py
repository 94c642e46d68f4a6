"""Read class names, strings and numbers of users' objects without running any code of theirs.

An object's attributes, comparisons and representation may raise, or lie. ``isinstance`` reads ``__class__``, which may
be a property. ``type`` does not, and neither does ``issubclass`` if its second argument is a class of Python's or
Celery's own.
"""

from __future__ import annotations

import math
from typing import Any

from otel_celery.plain import class_name

__all__ = ["class_name", "seconds", "text"]


def text(value: Any) -> str | None:
    """Return a plain copy of a string; None for any other object."""
    return str.__str__(value) if issubclass(type(value), str) else None


def seconds(value: Any) -> float | None:
    """Return a plain copy of a number of seconds; None unless it is a finite number that is not negative."""
    for kind in (float, int):
        if issubclass(type(value), kind):
            try:
                number = kind.__float__(value)
            except OverflowError:
                return None
            return number if number >= 0.0 and math.isfinite(number) else None
    return None
