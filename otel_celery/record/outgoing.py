"""Values as every exporter can send them, and the port can show them.

OTLP carries integers of 64 bits; an encoder raises at a longer one, at a lone surrogate or at a number that is none,
and the whole push is lost; the console's cannot write bytes. What is made here holds none of these.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otel_celery import plain
from otel_celery.record.naming import label_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    Scalar = str | bool | int | float | None
    Label = Scalar | tuple[Scalar, ...]

LEAST, MOST = -(2**63), 2**63 - 1
"""The integers that OTLP can carry."""

MAX_TEXT = 1_000
"""Where names, units and descriptions are cut."""


def number(value: Any) -> int | float | None:
    """Give the number that can be sent: an integer is a float where 64 bits do not hold it; None for no number."""
    try:
        made = plain.number(value)
        return made if type(made) is float or LEAST <= made <= MOST else float(made)
    except Exception:  # noqa: BLE001  a user's class may raise anything; and no float holds 10 ** 400
        return None


def label(value: Any, length: int) -> Label:
    """Give a scalar, or a tuple of scalars; bytes, mappings and what is nested deeper is written as JSON.

    Raises whatever the value's own methods raise, and RecursionError where it is nested without end.
    """
    made = plain.label(value, length)
    if type(made) is tuple:
        return tuple([_scalar(each, length) for each in made])
    return _scalar(made, length)


def labels(attributes: Mapping[str, Any], length: int) -> dict[str, Label]:
    """Make attributes plain; of keys that are cut alike the last stays. Raises as :func:`label` does."""
    return {plain.text(key, length): label(value, length) for key, value in attributes.items()}


def shown(value: Label, length: int) -> str:
    """Write a label as the port shows it, cut once more where it was no text."""
    return value if type(value) is str else plain.text(label_value(value), length)


def text(value: Any, length: int = MAX_TEXT) -> str:
    """Clean a text that may be missing, or may be none; never raises."""
    try:
        return "" if value is None else plain.text(value, length)
    except Exception:  # noqa: BLE001  a user's class may raise anything
        return ""


def _scalar(made: Any, length: int) -> Scalar:
    kind = type(made)
    if kind is int and not LEAST <= made <= MOST:
        return plain.text(str(made), length)  # never too long to be written: plain values are hexadecimal by then
    return (
        made if made is None or kind in {str, bool, int, float} else plain.text(json.dumps(made, default=str), length)
    )
